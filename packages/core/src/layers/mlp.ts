import type { Tensor2D } from '@tensorflow/tfjs-core'
import { activation } from '../ops/activation.ts'
import type { ActivationKind } from '../ops/activation.ts'
import type { ForwardContext } from './forward-context.ts'
import { createColumnLinear, createRowLinear } from './linear.ts'
import { shardInnerFeatures } from './shard.ts'
import type { WeightLoader } from './weight-loader.ts'

/** What follows attention in a block, whatever is in it. */
export interface Mlp {
  /** x `[n, hiddenSize]` → the same shape. */
  forward(x: Tensor2D, context: ForwardContext): Tensor2D
}

export interface PlainMlpOptions {
  readonly upPrefix: string
  readonly downPrefix: string
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly hasBias: boolean
  readonly activation: ActivationKind
}

/** `down(act(up(x)))`. */
export function createMlp(loader: WeightLoader, options: PlainMlpOptions): Mlp {
  const { upPrefix, downPrefix, hiddenSize, intermediateSize, hasBias } = options
  const share = shardInnerFeatures(loader, { features: intermediateSize, modules: [downPrefix], role: 'linear' })
  const up = createColumnLinear(loader, {
    prefix: upPrefix,
    inFeatures: hiddenSize,
    outFeatures: intermediateSize,
    hasBias,
    share,
  })
  const down = createRowLinear(loader, {
    prefix: downPrefix,
    inFeatures: intermediateSize,
    outFeatures: hiddenSize,
    hasBias,
    share,
  })
  return { forward: (x, context) => down.forward(activation(up.forward(x, context), options.activation), context) }
}
