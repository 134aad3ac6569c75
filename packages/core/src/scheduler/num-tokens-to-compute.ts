import type { Sequence } from '../sequence/sequence.ts'
import type { SchedulerConfig } from './scheduler-config.ts'

/** How far a sequence gets within the budget; `null` if it may only go in one piece, which is larger. */
export function numTokensToCompute(
  { numTokens }: Sequence,
  { enableChunkedPrefill, longPrefillTokenThreshold }: SchedulerConfig,
  { numComputedTokens, budget }: { readonly numComputedTokens: number; readonly budget: number },
): number | null {
  const numLeft = numTokens - numComputedTokens
  if (!enableChunkedPrefill) return numLeft <= budget ? numLeft : null
  return Math.min(numLeft, budget, longPrefillTokenThreshold > 0 ? longPrefillTokenThreshold : Infinity)
}
