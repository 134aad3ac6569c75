import type { GatedActivationKind } from '../ops/gated-activation.ts'
import { createMergedLinear, createRowLinear } from './linear.ts'
import type { Mlp } from './mlp.ts'
import { shardInnerFeatures } from './shard.ts'
import type { WeightLoader } from './weight-loader.ts'

export interface GatedMlpOptions {
  /** Two tensors, or one with the gate's rows first. */
  readonly prefixes: { readonly gate: string; readonly up: string } | { readonly gateUp: string }
  readonly downPrefix: string
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly hasBias: boolean
  readonly activation: GatedActivationKind
}

/** `down(act(gate(x)) * up(x))`. */
export function createGatedMlp(loader: WeightLoader, options: GatedMlpOptions): Mlp {
  const { prefixes, downPrefix, hiddenSize, intermediateSize, hasBias, activation } = options
  const share = shardInnerFeatures(loader, { features: intermediateSize, modules: [downPrefix], role: 'linear' })
  const gateUp = createMergedLinear(loader, {
    tensors:
      'gateUp' in prefixes
        ? [{ prefix: prefixes.gateUp, outFeatures: 2 * intermediateSize }]
        : [
            { prefix: prefixes.gate, outFeatures: intermediateSize },
            { prefix: prefixes.up, outFeatures: intermediateSize },
          ],
    parts: [share, { start: intermediateSize + share.start, end: intermediateSize + share.end }],
    inFeatures: hiddenSize,
    hasBias,
  })
  const down = createRowLinear(loader, {
    prefix: downPrefix,
    inFeatures: intermediateSize,
    outFeatures: hiddenSize,
    hasBias,
    share,
  })
  return { forward: (x, context) => down.forward(gateUp.forwardGated(x, activation, context), context) }
}
