import type { BackendModule } from '../backends/backend-module.ts'
import type { EngineConfig } from '../config/engine-config.ts'
import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import type { SequenceRequest } from '../sequence/sequence.ts'
import type { KvDType } from '../tensor/kv-storage.ts'
import type { EngineMetrics } from './engine-client.ts'
import type { TransferredError } from '../error-transfer.ts'
import type { KvCacheSpec } from './executor.ts'
import type { WarmupReport } from './warm-up.ts'

/** What the engine thread is started with. */
export interface EngineThreadData {
  readonly config: EngineConfig
  /** The checkpoint's folder or GGUF file, already local. */
  readonly modelPath: string
  /** Backends of other packages. */
  readonly backends: readonly BackendModule[]
}

export type ToEngine =
  | { readonly type: 'add'; readonly requests: readonly SequenceRequest[] }
  | { readonly type: 'abort'; readonly ids: readonly string[] }
  | { readonly type: 'shutdown' }

export type FromEngine =
  | { readonly type: 'progress'; readonly loadedBytes: number; readonly totalBytes: number }
  | { readonly type: 'ready'; readonly info: EngineInfo }
  | { readonly type: 'updates'; readonly updates: readonly SequenceUpdate[]; readonly metrics: EngineMetrics }
  /** The engine is dead: loading failed, or a step threw. */
  | { readonly type: 'failed'; readonly error: TransferredError }
  | { readonly type: 'closed' }

/** What was loaded, where it runs and how much it holds. */
export interface EngineInfo extends KvCacheSpec {
  readonly backend: string
  readonly kvCacheDtype: KvDType
  readonly isBatchInvariant: boolean
  /** What ran before serving; null where nothing did. */
  readonly warmup: WarmupReport | null
}
