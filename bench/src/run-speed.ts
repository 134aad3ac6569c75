import type { EngineOptions } from './bench-engine.ts'
import type { KnownEngine } from './engine-list.ts'
import { EngineProcess } from './engine-process.ts'
import { type MachineLimits, measureLimits } from './machine-limits.ts'
import type { Speed, SpeedPlan } from './measure-speed.ts'
import type { ModelFiles } from './model-files.ts'

export interface SpeedOptions {
  readonly engines: readonly KnownEngine[]
  readonly files: ModelFiles
  readonly threads: number
  readonly plan: SpeedPlan
  readonly numRounds: number
}

export interface EngineSpeed extends Speed {
  readonly description: string
  readonly loadMs: number
  readonly loadAndFirstTokenMs: number
  readonly peakRssBytes: number
}

/** By engine; an engine that failed is missing. */
export interface SpeedRound {
  readonly limits: MachineLimits
  readonly engines: Readonly<Record<string, EngineSpeed>>
}

export interface SpeedResult {
  readonly plan: SpeedPlan
  readonly rounds: readonly SpeedRound[]
  /** What engines threw. */
  readonly failures: readonly string[]
}

/** Every engine in turn, each in a fresh process; then the next round. */
export async function runSpeed({ engines, files, threads, plan, numRounds }: SpeedOptions): Promise<SpeedResult> {
  const rounds: SpeedRound[] = []
  const failures: string[] = []
  let left = [...engines]
  for (let round = 1; round <= numRounds; round++) {
    const limits = measureLimits(threads)
    const done: Record<string, EngineSpeed> = {}
    for (const engine of left) {
      console.error(`Round ${round} of ${numRounds}: ${engine.label}`)
      try {
        done[engine.name] = await measureEngine(engine, { modelPath: files.pathOf(engine.model), threads }, plan)
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error))
        console.error(`  failed, and is left out from now on: ${failures.at(-1)}`)
        left = left.filter((other) => other !== engine)
      }
    }
    rounds.push({ limits, engines: done })
  }
  return { plan, rounds, failures }
}

async function measureEngine(engine: KnownEngine, options: EngineOptions, plan: SpeedPlan): Promise<EngineSpeed> {
  await using host = new EngineProcess(engine.label)
  const loaded = await host.ask({ type: 'load', module: engine.module, options })
  const first = await host.ask({ type: 'first-token' })
  const [loadMs, firstMs] = [loaded.loadMs, first.loadAndFirstTokenMs].map((ms) => ms.toFixed(0))
  console.error(`  ${engine.label}: loaded in ${loadMs} ms, first token at ${firstMs} ms`)
  return { ...loaded, ...first, ...(await host.ask({ type: 'speed', plan })) }
}
