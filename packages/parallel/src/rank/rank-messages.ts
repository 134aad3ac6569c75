/** What a driver and a rank say to each other: plain data, in order, over a message port or a socket. */
import type {
  EngineConfig,
  EngineModule,
  GrammarSpec,
  MachineShare,
  SchedulerOutput,
  TransferredError,
} from '@octavo/core/engine'
import type { ControlAddress } from '../control/control-server.ts'
import type { LayerRange } from '@octavo/core/model'

/** All that a rank is made of. */
export interface RankSetup {
  readonly rank: number
  readonly tp: number
  readonly pp: number
  readonly ep: number
  readonly config: EngineConfig
  /** The checkpoint's folder or GGUF file. */
  readonly modelPath: string
  readonly modules: readonly EngineModule[]
  /** Of each stage. */
  readonly layerRanges: readonly LayerRange[]
  readonly share: MachineShare
  /** How ranks reach each other: the handle of a thread group, or `null` for MPI. */
  readonly threadGroup: unknown
  /** After how long a rank gives up waiting for another. */
  readonly collectiveTimeoutMs: number
}

/** What must be the same on all ranks. */
export interface RankIdentity {
  /** Of this package and of core. */
  readonly version: string
  /** Of the checkpoint's configuration and the sizes of its weight files. */
  readonly checkpoint: string
  /** As the library names itself; `null` where none is used. */
  readonly mpiLibrary: string | null
}

/** Calls are answered in order, each with one `result`, or with `failed`, after which a rank can only `end`. */
export type ToRank =
  /** Of ranks that somebody else started, the first has the driver's address and the others ask for it. */
  | { readonly type: 'join'; readonly address: ControlAddress | null }
  | { readonly type: 'setup'; readonly setup: RankSetup }
  | { readonly type: 'load' | 'availableKvBytes' | 'expertBalance' | 'releaseKvCache' | 'restoreKvCache' }
  | { readonly type: 'createKvCache'; readonly numBlocks: number }
  | { readonly type: 'warmUp'; readonly maxModelLen: number }
  | { readonly type: 'execute'; readonly plan: SchedulerOutput }
  /** Takes its time beside the calls: answered by a `grammar` with the same id, and by no `result`. */
  | { readonly type: 'compileGrammar'; readonly id: number; readonly spec: GrammarSpec }
  | { readonly type: 'end' }

export type FromRank =
  | { readonly type: 'progress'; readonly loadedBytes: number; readonly totalBytes: number }
  | { readonly type: 'result'; readonly value: unknown }
  /** `error`: why sequences may not have it. */
  | { readonly type: 'grammar'; readonly id: number; readonly error: TransferredError | null }
  | { readonly type: 'failed'; readonly error: TransferredError }
