import { checkParallelSizes, type ExecutorContext } from '@octavo/core/engine'
import { openCheckpoint } from '@octavo/core/loading'
import { type LayerRange, parseModelConfig } from '@octavo/core/model'
import { resolveLayerRanges } from '../layer-ranges.ts'
import type { ParallelConfig } from '../parallel-options.ts'

/** What is decided before any rank is started. */
export interface RankPlan {
  /** Of each stage. */
  readonly layerRanges: readonly LayerRange[]
}

/** @throws InvalidConfigError naming the sizes that do not divide and those that would */
export async function planRanks(
  { modelPath, workerModules }: Pick<ExecutorContext, 'modelPath' | 'workerModules'>,
  { tp, pp, ep, layerSplit }: ParallelConfig,
): Promise<RankPlan> {
  const checkpoint = await openCheckpoint(modelPath)
  const config = parseModelConfig(checkpoint.config, checkpoint.path, workerModules.architectures)
  checkParallelSizes(config, { tp, pp, ep })
  return { layerRanges: resolveLayerRanges(config, { numStages: pp, layerSplit }) }
}
