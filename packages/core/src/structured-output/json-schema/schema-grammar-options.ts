/** How the JSON text of a schema is written. */
export interface SchemaGrammarOptions {
  /** Whitespace between JSON tokens: within bounds as a model likes, or one space behind `:` and `,`. vLLM: `disable_any_whitespace`. */
  readonly allowWhitespace: boolean
  /** Schemas with `properties` and no `additionalProperties` take none beyond. vLLM: `disable_additional_properties`. */
  readonly disableAdditionalProperties: boolean
}
