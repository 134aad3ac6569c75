/** tokenizer.json, tokenizer_config.json and the chat template, or the same rebuilt from GGUF metadata. */
export interface TokenizerFiles {
  readonly tokenizerJson: Record<string, unknown>
  readonly tokenizerConfig: Record<string, unknown>
  readonly chatTemplate: string | null
  /** Those of a checkpoint that has several, such as `tool_use`. */
  readonly namedTemplates: ReadonlyMap<string, string>
}
