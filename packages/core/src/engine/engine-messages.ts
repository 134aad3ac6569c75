import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import type { SequenceRequest } from '../sequence/sequence.ts'
import type { EngineCoreData } from './create-engine-core.ts'
import type { CoreCommand } from './core-command.ts'
import type { EngineMetrics } from './engine-client.ts'
import type { LogLevel } from './executor.ts'
import type { EngineInfo } from './engine-info.ts'
import type { TransferredError } from '../error-transfer.ts'

/** What the engine thread is started with. */
export interface EngineThreadData extends EngineCoreData {
  readonly heartbeat: SharedArrayBuffer
}

export type ToEngine =
  | { readonly type: 'add'; readonly requests: readonly SequenceRequest[] }
  | { readonly type: 'abort'; readonly ids: readonly string[] }
  | { readonly type: 'command'; readonly id: number; readonly command: CoreCommand }
  | { readonly type: 'shutdown' }

export type FromEngine =
  | { readonly type: 'progress'; readonly loadedBytes: number; readonly totalBytes: number }
  | { readonly type: 'log'; readonly level: LogLevel; readonly message: string }
  | { readonly type: 'ready'; readonly info: EngineInfo }
  | { readonly type: 'updates'; readonly updates: readonly SequenceUpdate[]; readonly metrics: EngineMetrics }
  /** These sequences only. */
  | { readonly type: 'rejected'; readonly ids: readonly string[]; readonly error: TransferredError }
  /** A command is done, or was refused. */
  | { readonly type: 'done'; readonly id: number; readonly error: TransferredError | null }
  /** The engine is dead: loading failed, or a step threw. */
  | { readonly type: 'failed'; readonly error: TransferredError }
