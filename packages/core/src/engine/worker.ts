import type { LayerRange } from '../models/model.ts'
import type { ModelRunnerOutput, SchedulerOutput } from '../scheduler/scheduler-output.ts'
import type { GrammarSpec } from '../structured-output/grammar-spec.ts'
import type { KvDType } from '../tensor/kv-storage.ts'
import type { WarmupReport } from './warm-up.ts'

type MaybePromise<T> = T | Promise<T>

/** What one rank has loaded. */
export interface LoadedModel {
  readonly backend: string
  readonly isBatchInvariant: boolean
  readonly weightBytes: number
  readonly kvCacheDtype: KvDType
  /** Keys and values of one token in this rank's layers and heads. */
  readonly kvBytesPerToken: number
  /** How long a context the model was made for. */
  readonly maxPositions: number
  /** Of the model's layers; `end` is behind the last. */
  readonly layers: LayerRange
  readonly numKvHeads: number
  /** As `PoolingConfig`'s; left out: false. */
  readonly needsWholePrompts?: boolean
}

/** One rank: a backend, the rank's part of the model, its KV cache. The calls come in this order, `execute` many times. */
export interface Worker {
  load(): Promise<LoadedModel>
  /** What this rank may give to its KV cache; asked once all ranks of the machine have loaded. */
  availableKvBytes(): MaybePromise<number>
  createKvCache(numBlocks: number): MaybePromise<void>
  /** As `Executor`'s. */
  releaseKvCache(): MaybePromise<void>
  restoreKvCache(): MaybePromise<void>
  /** Runs what the backend prepares itself by, if it does; `null` if not. */
  warmUp(maxModelLen: number): MaybePromise<WarmupReport | null>
  execute(plan: SchedulerOutput): MaybePromise<ModelRunnerOutput>
  /** As `Executor.compileGrammar`, on the rank that draws. */
  compileGrammar?(spec: GrammarSpec): Promise<void>
  dispose(): MaybePromise<void>
}
