import type { EngineConfig } from '../config/engine-config.ts'
import type { EngineModule } from '../config/engine-module.ts'
import type { ModelRunnerOutput, SchedulerOutput } from '../scheduler/scheduler-output.ts'
import type { GrammarSpec } from '../structured-output/grammar-spec.ts'
import type { EngineInfo } from './engine-info.ts'
import type { WorkerModules } from './worker-modules.ts'

/** Where a plan runs: in this thread, on worker threads, or on other ranks. It drives one worker per rank. */
export interface Executor {
  /** Plans that it runs at once; it runs them in the order in which they came. */
  readonly maxPlansInFlight: number
  /** Loads the model on every rank and gives all of them a KV cache of the same number of blocks. */
  initialize(): Promise<EngineInfo>
  executeModel(plan: SchedulerOutput): Promise<ModelRunnerOutput>
  /**
   * Resolves when plans may have sequences with this grammar, meanwhile plans run on; rejects with an `InvalidRequestError` if
   * they never may. Left out where sequences can have none.
   */
  compileGrammar?(spec: GrammarSpec): Promise<void>
  /** Frees the memory of the KV cache, and makes a new one of the same size; between plans. Left out where it cannot. */
  releaseKvCache?(): Promise<void>
  restoreKvCache?(): Promise<void>
  /** Resolves with the reason if it can run no plan any more, also between plans. Left out where only a plan can fail. */
  readonly failed?: Promise<Error>
  shutdown(): Promise<void>
}

export type LogLevel = 'info' | 'warn'

/** What an executor is made of. */
export interface ExecutorContext {
  readonly config: EngineConfig
  /** The checkpoint's folder or GGUF file, already local. */
  readonly modelPath: string
  /** For workers in this thread. */
  readonly workerModules: WorkerModules
  /** For workers elsewhere, which load them there (`loadEngineModules`). */
  readonly modules: readonly EngineModule[]
  onProgress(loadedBytes: number, totalBytes: number): void
  /** What the operator should know (`info`), or should change (`warn`). */
  onLog(level: LogLevel, message: string): void
}

/** What a module of kind `executor` exports under this name; the options are the module's, for it to check. */
export type CreateExecutor = (context: ExecutorContext, options?: Readonly<Record<string, unknown>>) => Executor
