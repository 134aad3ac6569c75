import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Contestant } from './contestants.ts'
import { EngineProcess } from './engine-process.ts'
import type { ModelFiles } from './model-files.ts'
import { type MemoryPeaks, MemorySampler } from './process-memory.ts'
import { flushAfterMs, monotonicMs, readStepLogs, type StepLog } from './step-log.ts'
import { collectiveShares, type CollectiveShares, pipelineStats, type PipelineStats } from './step-stats.ts'

export interface RunOptions {
  readonly files: ModelFiles
  readonly threads: number
  readonly numTokens: number
}

/** One row's worth: prompts of one length, or so many sequences that decode. */
export interface Measurement {
  readonly tokensPerSecond: number
  readonly shares: CollectiveShares | null
  readonly pipeline: PipelineStats | null
}

/** By length and by number of sequences. */
export interface Measurements {
  readonly prefill: Readonly<Record<number, Measurement>>
  readonly decode: Readonly<Record<number, Measurement>>
}

const engineModule = path.join(import.meta.dirname, '..', 'engines', 'octavo-ranks.ts')

/** Everything of the contestant's plan, in a fresh process. */
export async function measureContestant(contestant: Contestant, options: RunOptions): Promise<Measurements> {
  const measured = { prefill: {} as Record<number, Measurement>, decode: {} as Record<number, Measurement> }
  await using engine = new RankedEngine(contestant, options)
  await engine.load()
  for (const phase of ['prefill', 'decode'] as const)
    for (const size of contestant.plan[phase]) measured[phase][size] = await engine.measure(phase, size)
  return measured
}

/** From before the load on, over the longest prompt and the largest batch. */
export async function measureMemory(contestant: Contestant, options: RunOptions): Promise<MemoryPeaks> {
  const { prefill, decode } = contestant.plan
  await using engine = new RankedEngine(contestant, { ...options, numTokens: 8 })
  using sampler = new MemorySampler(engine.pid)
  await engine.load()
  await engine.measure('prefill', Math.max(...prefill))
  await engine.measure('decode', Math.max(...decode))
  return sampler.peaks()
}

/** An engine in a process of its own, whose ranks log their steps. */
class RankedEngine implements AsyncDisposable {
  readonly #contestant: Contestant
  readonly #options: RunOptions
  readonly #process: EngineProcess
  readonly #folder = mkdtempSync(path.join(tmpdir(), 'octavo-bench-steps-'))

  constructor(contestant: Contestant, options: RunOptions) {
    this.#contestant = contestant
    this.#options = options
    this.#process = new EngineProcess(contestant.label)
  }

  get pid(): number {
    return this.#process.pid
  }

  async load(): Promise<void> {
    const { parallel, maxNumBatchedTokens } = this.#contestant
    const { files, threads } = this.#options
    const ranks = { parallel, folder: this.#folder, maxNumBatchedTokens }
    const options = { modelPath: files.pathOf('gguf'), threads, ranks }
    await this.#process.ask({ type: 'load', module: engineModule, options })
    await this.#process.ask({ type: 'first-token' })
  }

  async measure(phase: 'prefill' | 'decode', size: number): Promise<Measurement> {
    const { numTokens } = this.#options
    const startedMs = monotonicMs()
    const plan = { prefill: [], decode: [], promptLength: 32, numTokens, [phase]: [size] }
    const speed = await this.#process.ask({ type: 'speed', plan })
    await sleep(2 * flushAfterMs)
    const logs = readStepLogs(this.#folder, startedMs).map(withoutWarmUp)
    return {
      tokensPerSecond: speed[phase][size] ?? Number.NaN,
      shares: collectiveShares(logs),
      pipeline: pipelineStats(logs, phase),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]()
    rmSync(this.#folder, { recursive: true })
  }
}

/** A speed plan begins with one prompt of one step that is not measured. */
function withoutWarmUp({ pid, steps }: StepLog): StepLog {
  return { pid, steps: steps.slice(1) }
}
