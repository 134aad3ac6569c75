import type { TransferredError } from '../error-transfer.ts'

export interface TokenizerThreadData {
  readonly modelPath: string
}

export interface ToTokenizer {
  readonly text: string
  readonly addSpecialTokens: boolean
}

export type FromTokenizer =
  | { readonly type: 'ready' }
  | { readonly type: 'ids'; readonly ids: Int32Array }
  | { readonly type: 'failed'; readonly error: TransferredError }
