import { execFileSync } from 'node:child_process'
import path from 'node:path'

/** What the machine can do at best, of all threads together; `null` where no probe could tell. */
export interface MachineLimits {
  readonly readBytesPerSecond: number | null
  /** int8 multiplications and additions, as the kernels' instruction set does them. */
  readonly multiplyPerSecond: number | null
}

export type Probe = 'read' | 'multiply'

const timeoutMs = 120_000

/** A few seconds. */
export function measureLimits(threads: number): MachineLimits {
  return { readBytesPerSecond: runProbe('read', threads), multiplyPerSecond: runProbe('multiply', threads) }
}

/** In a process of its own: a probe that fails, or even crashes, costs a column of shares and not the run. */
function runProbe(probe: Probe, threads: number): number | null {
  try {
    const script = path.join(import.meta.dirname, 'run-probe.ts')
    const output = execFileSync(process.execPath, [script, probe, String(threads)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: timeoutMs,
    })
    const value = Number(output)
    return Number.isFinite(value) && value > 0 ? value : null
  } catch {
    console.error(`  the ${probe} probe of the addon failed: shares of that limit are left out`)
    return null
  }
}
