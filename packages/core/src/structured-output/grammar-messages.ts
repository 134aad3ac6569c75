import type { TransferredError } from '../error-transfer.ts'
import type { SharedVocabulary } from './shared-vocabulary.ts'

/** What a grammar's thread is started with. */
export interface GrammarThreadData {
  /** `null`: the thread reads it from the model's folder, and gives it back. */
  readonly vocabulary: SharedVocabulary | null
  readonly modelPath: string
  /** Width of the logits. */
  readonly vocabSize: number
  /** Int32: see `jobWords`. */
  readonly jobs: SharedArrayBuffer
  /** Added to the thread's niceness, where the system has one for threads. */
  readonly niceness: number
  readonly maxMemoryBytes: number
}

/** What a thread tells of itself while it computes: which grammar it is at (0 = none), and how many jobs it has begun. */
export const jobWords = { grammar: 0, count: 1 } as const

/** What may be drawn next, and behind drafts. */
export interface MaskRequest {
  readonly matcher: number
  /** Counts up; the answer has it. */
  readonly request: number
  /** Output tokens that the thread has taken in; those that follow them are new. */
  readonly numTaken: number
  readonly tokenIds: readonly number[]
  readonly draftTokenIds: readonly number[]
  /** A `MaskCell`'s, where it is new. */
  readonly cell?: SharedArrayBuffer
}

export type ToGrammarThread =
  | {
      readonly type: 'compile'
      readonly grammar: number
      readonly text: string
      readonly stopTokenIds: readonly number[]
    }
  | { readonly type: 'open'; readonly matcher: number; readonly grammar: number }
  | { readonly type: 'masks'; readonly requests: readonly MaskRequest[] }
  | { readonly type: 'close'; readonly matchers: readonly number[] }
  | { readonly type: 'forget'; readonly grammar: number }

export type FromGrammarThread =
  | { readonly type: 'ready'; readonly vocabulary: SharedVocabulary }
  /** The vocabulary cannot be had. */
  | { readonly type: 'failed'; readonly error: TransferredError }
  | { readonly type: 'compiled'; readonly grammar: number; readonly refusal: Refusal | null }

/** Why a grammar was not compiled. */
export interface Refusal {
  /** For the client. */
  readonly reason: string
  /** `false`: the library may say that of anything from now on. */
  readonly isSound: boolean
}
