export interface TokenizerThreadData {
  readonly modelPath: string
}

export interface ToTokenizer {
  readonly text: string
  readonly addSpecialTokens: boolean
}
