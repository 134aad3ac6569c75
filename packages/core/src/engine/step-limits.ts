import type { EngineConfig } from '../config/engine-config.ts'

export type StepLimits = Omit<EngineConfig['scheduler'], 'schedulingPolicy'>

/** What an engine's steps are limited to. An encoder's prompts go whole, so that a step has room for the longest of them. */
export function stepLimits(
  { scheduler: { schedulingPolicy: _, ...limits } }: Pick<EngineConfig, 'scheduler'>,
  { maxModelLen, needsWholePrompts = false }: { readonly maxModelLen: number; readonly needsWholePrompts?: boolean },
): StepLimits {
  if (!needsWholePrompts) return limits
  const maxNumBatchedTokens = Math.max(limits.maxNumBatchedTokens, maxModelLen)
  return { ...limits, maxNumBatchedTokens, enableChunkedPrefill: false }
}
