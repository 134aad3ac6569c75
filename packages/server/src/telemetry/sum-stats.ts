import type { FinishReason, RequestStats } from '@octavo/core'

export interface StatsSum {
  readonly numPromptTokens: number
  readonly numCachedTokens: number
  readonly numGenerationTokens: number
  /** Of all samples. */
  readonly finishReasons: FinishReason[]
}

/** Of what the engine did for one HTTP request, which may have had many prompts. */
export function sumStats(stats: readonly RequestStats[]): StatsSum {
  const sum = (pick: (one: RequestStats) => number): number => stats.reduce((total, one) => total + pick(one), 0)
  return {
    numPromptTokens: sum((one) => one.numPromptTokens),
    numCachedTokens: sum((one) => one.numCachedTokens),
    numGenerationTokens: sum((one) => one.numGenerationTokens),
    finishReasons: stats.flatMap(({ finishReasons }) => finishReasons),
  }
}
