/** How the JSON text of a schema is written. */
export interface SchemaGrammarOptions {
  /** Whitespace between JSON tokens: a little, as a model likes, or none. vLLM: `disable_any_whitespace`. */
  readonly allowWhitespace: boolean
  /** Objects without `additionalProperties` and arrays without `items` take none beyond those named. vLLM: `disable_additional_properties`. */
  readonly disableAdditionalProperties: boolean
}
