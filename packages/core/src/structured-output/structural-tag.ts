/**
 * The canonical form of a grammar: xgrammar's structural tag without schemas, which are EBNF here. Plain data; as JSON text
 * it crosses threads in `SamplingParams.grammar`.
 *
 * Texts of `const_string`, `begin`, `end`, `triggers` and `excludes` may hold special tokens as they are written in the
 * vocabulary: there the token itself is meant, and nowhere else may a special token come.
 */
export type TagFormat =
  | { readonly type: 'const_string'; readonly value: string }
  | { readonly type: 'regex'; readonly pattern: string }
  | { readonly type: 'grammar'; readonly grammar: string }
  | { readonly type: 'any_text' }
  | { readonly type: 'sequence'; readonly elements: readonly TagFormat[] }
  | { readonly type: 'or'; readonly elements: readonly TagFormat[] }
  | Tag
  | {
      readonly type: 'triggered_tags'
      readonly triggers: readonly string[]
      readonly tags: readonly Tag[]
      readonly at_least_one?: boolean
      readonly stop_after_first?: boolean
    }
  | {
      readonly type: 'tags_with_separator'
      readonly tags: readonly Tag[]
      readonly separator: string
      readonly at_least_one?: boolean
      readonly stop_after_first?: boolean
    }

/** `any_text` as its content ends with `end`. */
export interface Tag {
  readonly type: 'tag'
  readonly begin: string
  readonly content: TagFormat
  readonly end: string
}
