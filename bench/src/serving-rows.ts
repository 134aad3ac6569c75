import type { BenchRow } from './bench-row.ts'
import type { EngineServing, ServingResult } from './run-serving.ts'

type Labels = Pick<BenchRow, 'name' | 'unit' | 'isHigherBetter'>

/** The best load within the bound, and the burst. */
export function servingRows({ engines, plan }: ServingResult): BenchRow[] {
  const row = (labels: Labels, of: (serving: EngineServing) => number | null | undefined): BenchRow => ({
    ...labels,
    values: Object.fromEntries(Object.entries(engines).map(([name, serving]) => [name, of(serving) ?? null])),
    shares: {},
  })
  const rate = (name: string, unit = 'tok/s'): Labels => ({ name, unit, isHigherBetter: true })
  const time = (name: string): Labels => ({ name, unit: 'ms', isHigherBetter: false })
  return [
    row(rate(`serving, TTFT p99 ≤ ${plan.maxTtftMs / 1000} s: total`), ({ best }) => best?.load.totalTokensPerSecond),
    row(rate('… output'), ({ best }) => best?.load.outputTokensPerSecond),
    row(rate('… arrivals', 'req/s'), ({ best }) => best?.rate),
    row(time('… TTFT p50'), ({ best }) => best?.load.ttftMs.p50),
    row(time('… TTFT p99'), ({ best }) => best?.load.ttftMs.p99),
    row(time('… ITL p50'), ({ best }) => best?.load.itlMs.p50),
    row(time('… ITL p99'), ({ best }) => best?.load.itlMs.p99),
    row(rate(`serving, ${plan.numRequests} requests at once: total`), ({ burst }) =>
      burst.isComplete ? burst.totalTokensPerSecond : null,
    ),
  ]
}
