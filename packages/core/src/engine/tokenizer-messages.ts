export interface TokenizerThreadData {
  readonly modelPath: string
}

export interface ToTokenizer {
  readonly text: string
  /** `null`: there is one text. Where there are two, their ids come back with the type ids behind them. */
  readonly pair: string | null
  readonly addSpecialTokens: boolean
}
