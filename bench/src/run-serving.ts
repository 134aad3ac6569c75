import type { KnownEngine } from './engine-list.ts'
import { EngineProcess } from './engine-process.ts'
import { type LoadSummary, summarizeLoad } from './load-summary.ts'
import type { ModelFiles } from './model-files.ts'
import { bestPoint, isWithin, nextRate, type SweepPoint } from './sweep.ts'
import { createWorkload, type LengthRange } from './workload.ts'

export interface ServingPlan {
  readonly seed: number
  readonly numRequests: number
  readonly promptLengths: LengthRange
  readonly outputLengths: LengthRange
  /** Sequences that an engine may compute at once. */
  readonly numSeqs: number
  /** The bound on the p99 of the time to the first token. */
  readonly maxTtftMs: number
  /** Rates tried per engine at most. */
  readonly maxPoints: number
}

export interface ServingOptions {
  readonly engines: readonly KnownEngine[]
  readonly files: ModelFiles
  readonly threads: number
  readonly plan: ServingPlan
}

export interface EngineServing {
  /** All requests at once: what the engine bears at most. */
  readonly burst: LoadSummary
  readonly points: readonly SweepPoint[]
  readonly best: SweepPoint | null
}

export interface ServingResult {
  readonly plan: ServingPlan
  readonly engines: Readonly<Record<string, EngineServing>>
  readonly failures: readonly string[]
}

/** The share of its burst's rate at which an engine's sweep begins. */
const firstShare = 0.75
const burstTimeoutMs = 600_000
/** Of a load below the burst, after its last arrival. */
const drainTimeoutMs = 300_000

/** The engines are loaded side by side (an idle one takes no time) and asked in turn, one rate each. */
export async function runServing({ engines, files, threads, plan }: ServingOptions): Promise<ServingResult> {
  const failures: string[] = []
  const runs: ServedEngine[] = []
  await using stack = new AsyncDisposableStack()
  for (const engine of engines) runs.push(stack.use(new ServedEngine(engine, plan)))
  const each = async (work: (run: ServedEngine) => Promise<void>): Promise<void> => {
    for (const run of runs) {
      if (run.hasEnded) continue
      await work(run).catch((error: unknown) => {
        failures.push(error instanceof Error ? error.message : String(error))
        console.error(`  failed, and is left out from now on: ${failures.at(-1)}`)
        run.hasEnded = true
      })
    }
  }
  await each((run) => run.load(files.pathOf(run.engine.model), threads))
  await each((run) => run.playBurst())
  while (runs.some(({ hasEnded }) => !hasEnded)) await each((run) => run.playNext())
  const results: Record<string, EngineServing> = {}
  for (const run of runs) {
    const result = run.result()
    if (result !== null) results[run.engine.name] = result
  }
  return { plan, engines: results, failures }
}

class ServedEngine implements AsyncDisposable {
  readonly engine: KnownEngine
  hasEnded = false
  readonly #host: EngineProcess
  readonly #plan: ServingPlan
  readonly #points: SweepPoint[] = []
  #burst: LoadSummary | null = null

  constructor(engine: KnownEngine, plan: ServingPlan) {
    this.engine = engine
    this.#plan = plan
    this.#host = new EngineProcess(engine.label)
  }

  async load(modelPath: string, threads: number): Promise<void> {
    console.error(`Serving: ${this.engine.label} loads`)
    await this.#host.ask({ type: 'load', module: this.engine.module, options: { modelPath, threads } })
    await this.#play({ rate: Infinity, numRequests: 2, maxTtftMs: null })
  }

  async playBurst(): Promise<void> {
    const { numRequests } = this.#plan
    console.error(`Serving: ${this.engine.label}, ${numRequests} requests at once`)
    this.#burst = await this.#play({ rate: Infinity, numRequests, maxTtftMs: null })
    console.error(`  ${describeLoad(this.#burst)}`)
  }

  /** One more rate of the sweep, or its end. */
  async playNext(): Promise<void> {
    const { numRequests, maxTtftMs, maxPoints } = this.#plan
    if (this.#burst === null) return
    const capacity = (1000 * numRequests) / this.#burst.durationMs
    const rate = nextRate(this.#points, { firstRate: firstShare * capacity, maxPoints })
    if (rate === null) {
      this.hasEnded = true
      return
    }
    console.error(`Serving: ${this.engine.label}, ${rate.toFixed(2)} requests/s`)
    const load = await this.#play({ rate, numRequests, maxTtftMs })
    this.#points.push({ rate, load, isWithin: isWithin(load, maxTtftMs) })
    console.error(`  ${describeLoad(load)}`)
  }

  result(): EngineServing | null {
    return this.#burst && { burst: this.#burst, points: this.#points, best: bestPoint(this.#points) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#host[Symbol.asyncDispose]()
  }

  async #play(load: { rate: number; numRequests: number; maxTtftMs: number | null }): Promise<LoadSummary> {
    const { seed, promptLengths, outputLengths, numSeqs } = this.#plan
    const arrivals = createWorkload({ seed, promptLengths, outputLengths, ...load })
    await this.#host.ask({
      type: 'prepare',
      need: { numSeqs, maxModelLen: promptLengths.max + outputLengths.max + 16 },
    })
    const timeoutMs = load.rate === Infinity ? burstTimeoutMs : (arrivals.at(-1)?.atMs ?? 0) + drainTimeoutMs
    return summarizeLoad(
      await this.#host.ask({ type: 'serve', arrivals, options: { maxTtftMs: load.maxTtftMs, timeoutMs } }),
    )
  }
}

function describeLoad(load: LoadSummary): string {
  if (!load.isComplete) return 'over the bound, ended early'
  const seconds = (ms: number | null): string => (ms === null ? 'never' : `${(ms / 1000).toFixed(2)} s`)
  return `${load.totalTokensPerSecond.toFixed(1)} tok/s, first token p50 ${seconds(load.ttftMs.p50)}, p99 ${seconds(load.ttftMs.p99)}`
}
