import { checkParallelSizes, headSizes, useOneOf } from '../config/parallel-sizes.ts'
import type { ModelConfig } from '../config/model-config.ts'
import { InvalidConfigError } from '../errors.ts'
import { shardExpertFeatures } from '../layers/moe.ts'
import { columnUnit, shardInnerFeatures } from '../layers/shard.ts'
import type { WeightLoader } from '../layers/weight-loader.ts'
import type { DecoderDesign } from './decoder-design.ts'
import type { LayerRange } from './model.ts'

/**
 * Whether the ranks can share these layers, before any weight is read: the numbers of heads, and blocks of weights, which are
 * cut between them only.
 *
 * @throws InvalidConfigError of `tp` or `ep` that names the sizes that work
 */
export function checkShards(
  loader: WeightLoader,
  { config, design, layers }: { config: ModelConfig; design: DecoderDesign; layers: LayerRange },
): void {
  const { communicator, expertCommunicator } = loader
  const ep = expertCommunicator?.size ?? 1
  checkParallelSizes(config, { tp: communicator.size, ep })
  if (communicator.size === 1) return
  for (let layer = layers.start; layer < layers.end; layer++) {
    const prefix = `${design.layers}.${layer}.`
    checkHeadBlocks(loader, config, prefix + design.attention.output)
    const mlp = design.mlp(layer)
    if (mlp.kind !== 'moe')
      shardInnerFeatures(loader, {
        features: config.intermediateSize,
        modules: [prefix + mlp.down],
        role: 'linear',
      })
    else if (ep === 1 && config.moe !== null) {
      const expert = (index: number) => mlp.expert(prefix, index, (name) => loader.has(name))
      shardExpertFeatures(loader, { ...config.moe, expert })
    }
  }
}

/** Heads are whole, so the columns of the weight behind them have no other places to be cut. */
function checkHeadBlocks(loader: WeightLoader, config: ModelConfig, module: string): void {
  const { numHeads, headDim } = config
  const { size } = loader.communicator
  const unit = columnUnit(loader, module, 'linear')
  const fits = (ranks: number): boolean => ((numHeads / ranks) * headDim) % unit === 0
  if (fits(size)) return
  throw new InvalidConfigError(
    'tp',
    `${size} ranks cannot share the ${numHeads} heads of ${headDim} features of ${module}, stored in blocks of ${unit}; ` +
      `${useOneOf(headSizes(config).filter(fits))}, or a checkpoint without blocks`,
  )
}
