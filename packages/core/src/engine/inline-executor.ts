import { wholeMachine } from '../backends/backend-pack.ts'
import { singleRank } from '../layers/communicator.ts'
import type { ModelRunnerOutput, SchedulerOutput } from '../scheduler/scheduler-output.ts'
import type { GrammarSpec } from '../structured-output/grammar-spec.ts'
import type { EngineInfo } from './engine-info.ts'
import type { Executor, ExecutorContext } from './executor.ts'
import { initializeWorkers } from './initialize-workers.ts'
import { ModelWorker } from './model-worker.ts'

export type InlineExecutorOptions = Pick<ExecutorContext, 'config' | 'modelPath'> &
  Partial<Pick<ExecutorContext, 'onProgress'>> & { readonly workerModules?: Partial<ExecutorContext['workerModules']> }

/** One worker, in this very thread. */
export class InlineExecutor implements Executor {
  readonly maxPlansInFlight = 1
  readonly #options: InlineExecutorOptions
  readonly #worker: ModelWorker

  constructor(options: InlineExecutorOptions) {
    this.#options = options
    this.#worker = new ModelWorker({ ...options, communicator: singleRank, share: wholeMachine })
  }

  initialize(): Promise<EngineInfo> {
    return initializeWorkers([this.#worker], this.#options.config)
  }

  async executeModel(plan: SchedulerOutput): Promise<ModelRunnerOutput> {
    return this.#worker.execute(plan)
  }

  compileGrammar(spec: GrammarSpec): Promise<void> {
    return this.#worker.compileGrammar(spec)
  }

  async releaseKvCache(): Promise<void> {
    this.#worker.releaseKvCache()
  }

  async restoreKvCache(): Promise<void> {
    this.#worker.restoreKvCache()
  }

  async shutdown(): Promise<void> {
    this.#worker.dispose()
  }
}
