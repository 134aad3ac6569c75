/** What an output must be. Schemas and tags may come as JSON text, which keeps their numbers and the order of their properties. */
export type StructuredOutput =
  | {
      readonly type: 'json'
      readonly schema: JsonInput
      /** Default true: white space between the parts of a value, within a bound; false: one space behind `:` and `,` and no other. */
      readonly anyWhitespace?: boolean
      /** What objects may have beyond what the schema says; default true, as JSON Schema has it. */
      readonly additionalProperties?: boolean
    }
  | { readonly type: 'jsonObject'; readonly anyWhitespace?: boolean }
  /** The whole output matches it. */
  | { readonly type: 'regex'; readonly pattern: string }
  | { readonly type: 'choice'; readonly choices: readonly string[] }
  /** EBNF as xgrammar reads it; the rule `root` is the output. */
  | { readonly type: 'grammar'; readonly grammar: string }
  /** xgrammar's structural tag, with or without its `structural_tag` wrapper; schemas in it are treated like those of `json`. */
  | { readonly type: 'structuralTag'; readonly tag: Readonly<Record<string, unknown>> | string }

/** A JSON value, or its text. */
export type JsonInput = Readonly<Record<string, unknown>> | boolean | string
