import { add, concat, div, mul, slice, softmax, sum, tensor1d, tensor2d, tidy, zerosLike } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import type { PackedWeight } from '../tensor/packed-weight.ts'
import { assert } from '../util/assert.ts'
import { gatedActivationComposite } from './gated-activation.ts'
import type { FusedGatedKind } from './gated-activation.ts'
import { linearComposite } from './linear.ts'
import { routeTokens } from './moe-routing.ts'
import type { MoeRoutingOptions } from './moe-routing.ts'
import { hasKernel, runOp } from './op.ts'

/** Tensor inputs: `x` `[n, hiddenSize]`, `routerLogits` `[n, numExperts]`. */
export const moeKernel = 'OctavoMoe'

export interface MoeExpert {
  /**
   * Rows of the gate, then of the up projection: one weight `[2 * intermediateSize, hiddenSize]`, or the two apart, since
   * their stored formats may differ.
   */
  readonly gateUp: readonly PackedWeight[]
  readonly down: PackedWeight // [hiddenSize, intermediateSize]
  readonly gateUpBias: Float32Array | null // [2 * intermediateSize]
  readonly downBias: Float32Array | null // [hiddenSize]
}

export interface MoeAttrs extends MoeRoutingOptions {
  readonly experts: readonly MoeExpert[]
  readonly activation: FusedGatedKind
}

/**
 * Mixture of experts (Shazeer et al. 2017, arXiv:1701.06538; Mixtral, arXiv:2401.04088): each token's rows pass through
 * its `topK` gated MLPs and the weighted results are added to zeros in ascending expert index.
 * x `[n, hiddenSize]`, routerLogits `[n, numExperts]` → `[n, hiddenSize]`.
 */
export function moe(x: Tensor2D, routerLogits: Tensor2D, options: MoeAttrs): Tensor2D {
  const { experts, topK } = options
  const numExperts = experts.length
  assert(
    routerLogits.shape[0] === x.shape[0] && routerLogits.shape[1] === numExperts,
    `moe: router logits [${routerLogits.shape.join(', ')}], expected [${x.shape[0]}, ${numExperts}]`,
  )
  assert(topK > 0 && topK <= numExperts, `moe: top ${topK} of ${numExperts} experts`)
  for (const { gateUp, down } of experts) {
    const partRows = (gateUp.length === 1 ? 2 : 1) * down.cols
    assert(
      (gateUp.length === 1 || gateUp.length === 2) &&
        gateUp.every(({ rows, cols }) => rows === partRows && cols === x.shape[1]) &&
        down.rows === x.shape[1],
      `moe: expert ${shapes(gateUp)} and ${shapes([down])} for ${x.shape[1]} features`,
    )
  }
  if (!hasKernel(moeKernel)) return moeComposite(x, routerLogits, options)
  return runOp<Tensor2D>(moeKernel, { x, routerLogits }, options)
}

function shapes(weights: readonly PackedWeight[]): string {
  return weights.map(({ rows, cols }) => `[${rows}, ${cols}]`).join(' + ')
}

/** The choice of experts is made on the host and is a constant to the tape; the kept probabilities have gradients. */
export function moeComposite(x: Tensor2D, routerLogits: Tensor2D, options: MoeAttrs): Tensor2D {
  const { experts, activation } = options
  const n = x.shape[0]
  return tidy(() => {
    const { expertIds } = routeTokens(routerLogits.dataSync<'float32'>(), experts.length, options)
    const gates = expertGates(routerLogits, expertIds, options)
    let result: Tensor2D = zerosLike(x)
    for (const e of [...new Set(expertIds)].sort((a, b) => a - b)) {
      const expert = experts[e]
      assert(expert !== undefined, `moe: expert ${e} of ${experts.length}`)
      const { gateUp, down, gateUpBias, downBias } = expert
      const products = gateUp.map((part) => linearComposite(x, part, null))
      const product = concat(products, 1)
      const hidden = gateUpBias === null ? product : add<Tensor2D>(product, tensor1d(gateUpBias))
      const output = linearComposite(
        gatedActivationComposite(hidden, activation),
        down,
        downBias === null ? null : tensor1d(downBias),
      )
      result = add(result, mul(output, slice(gates, [0, e], [n, 1])))
    }
    return result
  })
}

/** `[n, numExperts]`: the kept probabilities, zero where not chosen; they have gradients. */
export function expertGates(routerLogits: Tensor2D, expertIds: Int32Array, options: MoeRoutingOptions): Tensor2D {
  const { topK, scoring, renormalize } = options
  const [n, numExperts] = routerLogits.shape
  const chosen = new Float32Array(n * numExperts)
  expertIds.forEach((expert, i) => (chosen[Math.floor(i / topK) * numExperts + expert] = 1))
  const kept = mul<Tensor2D>(softmax(routerLogits), tensor2d(chosen, [n, numExperts]))
  // A softmax over the kept logits alone is the full softmax divided by the sum of the kept.
  return renormalize || scoring === 'softmax_topk' ? div<Tensor2D>(kept, sum(kept, 1, true)) : kept
}
