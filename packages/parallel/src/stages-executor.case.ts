/** A pipeline in one thread, for tests: for each plan its stages run in turn. */
import {
  type EngineConfig,
  type EngineInfo,
  type Executor,
  initializeWorkers,
  type ModelRunnerOutput,
  ModelWorker,
  type SchedulerOutput,
  singleRank,
  type WorkerModules,
} from '@octavo/core/engine'
import type { LayerRange } from '@octavo/core/model'
import { PipelineStage, type StageGroup } from './pipeline-stage.ts'

/** What was sent and not received yet. */
export class MemoryChannel {
  readonly groups: readonly StageGroup[]
  readonly #messages: Float32Array[][]

  constructor(size: number) {
    this.#messages = Array.from({ length: size }, () => [])
    this.groups = Array.from({ length: size }, (_, rank) => ({
      rank,
      size,
      send: (buffer, { dst }) => this.#send(buffer, rank, dst),
      recv: (buffer, { src }) => this.#recv(buffer, rank, src),
    }))
  }

  get numWaiting(): number {
    return this.#messages.reduce((sum, messages) => sum + messages.length, 0)
  }

  #send(buffer: Float32Array, from: number, to: number): void {
    if (to !== from + 1) throw new Error(`stage ${from} sends to ${to}`)
    this.#messages[to]!.push(buffer.slice())
  }

  #recv(buffer: Float32Array, at: number, from: number): void {
    const message = this.#messages[at]!.shift()
    if (from !== at - 1 || message?.length !== buffer.length)
      throw new Error(`stage ${at} waits for ${buffer.length} numbers of ${from}, and there are ${message?.length}`)
    buffer.set(message)
  }
}

export interface StagesExecutorOptions {
  readonly config: EngineConfig
  readonly modelPath: string
  readonly ranges: readonly LayerRange[]
  readonly workerModules?: Partial<WorkerModules>
}

export class StagesExecutor implements Executor {
  readonly maxPlansInFlight: number
  readonly #config: EngineConfig
  readonly #channel: MemoryChannel
  readonly #workers: readonly ModelWorker[]
  readonly #stages: readonly PipelineStage[]
  /** Sequences of each plan. */
  readonly planSizes: number[] = []

  constructor({ config, modelPath, ranges, workerModules = {} }: StagesExecutorOptions) {
    const share = { numLocalWorkers: ranges.length, numCpuWorkers: ranges.length }
    this.maxPlansInFlight = ranges.length
    this.#config = config
    this.#channel = new MemoryChannel(ranges.length)
    this.#workers = ranges.map(
      (layers) => new ModelWorker({ config, modelPath, communicator: singleRank, share, layers, workerModules }),
    )
    this.#stages = this.#workers.map(
      (worker, i) => new PipelineStage({ worker, group: this.#channel.groups[i]!, isDrawing: true }),
    )
  }

  initialize(): Promise<EngineInfo> {
    return initializeWorkers(this.#workers, this.#config)
  }

  async executeModel(plan: SchedulerOutput): Promise<ModelRunnerOutput> {
    this.planSizes.push(plan.scheduled.length)
    const outputs = this.#stages.map((stage) => stage.execute(plan))
    const output = outputs.pop()
    if (!output || outputs.some((other) => other !== null)) throw new Error('the last stage answers, and no other')
    if (this.#channel.numWaiting > 0) throw new Error('something was sent that nobody received')
    return output
  }

  async shutdown(): Promise<void> {
    for (const worker of this.#workers) worker.dispose()
  }
}
