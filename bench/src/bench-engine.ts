import type { ParallelOptions } from '@octavo/parallel/executor'

/** What a bench asks of an engine. One file per engine, ours in `engines/`, others in `peers/`, each with a `createEngine`. */
export interface BenchEngine {
  /** Said in the results: backend, version. */
  readonly description: string
  /** Before each measurement: so many sequences at once, each of at most so many tokens. */
  prepare(need: SequenceNeed): Promise<void>
  /** Continues all prompts together, greedily, with exactly so many tokens each, past ends of sequence. */
  generateAll(prompts: readonly (readonly number[])[], numTokens: number, onTokens: OnTokens): Promise<void>
  /** Continues one prompt beside others that come and go; `null` where the engine cannot. */
  readonly generate: ((request: BenchRequest) => Promise<void>) | null
  shutdown(): Promise<void>
}

export interface EngineOptions {
  readonly modelPath: string
  readonly threads: number
  /** Of the bench `parallel` alone. */
  readonly ranks?: RankOptions
}

export interface RankOptions {
  /** `null` = one rank, in the engine's own thread. */
  readonly parallel: ParallelOptions | null
  /** Where step logs go. */
  readonly folder: string
  /** `null` = the engine's default. */
  readonly maxNumBatchedTokens: number | null
}

export type CreateEngine = (options: EngineOptions) => Promise<BenchEngine>

export interface SequenceNeed {
  readonly numSeqs: number
  readonly maxModelLen: number
}

/** `sequence` is the prompt's index; called when the tokens are there. */
export type OnTokens = (sequence: number, count: number) => void

export interface BenchRequest {
  readonly prompt: readonly number[]
  readonly numTokens: number
  readonly onTokens: (count: number) => void
  /** Ends the request early. */
  readonly signal: AbortSignal
}
