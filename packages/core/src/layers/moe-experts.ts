import { add, concat, gather, mul, reshape, tensor1d, tidy, zerosLike } from '@tensorflow/tfjs-core'
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
import { gatedActivation } from '../ops/gated-activation.ts'
import type { GatedActivationKind } from '../ops/gated-activation.ts'
import { expertGates } from '../ops/moe.ts'
import { routeTokens } from '../ops/moe-routing.ts'
import type { MoeRoutingOptions } from '../ops/moe-routing.ts'
import { atRows } from './forward-context.ts'
import type { ForwardContext } from './forward-context.ts'
import type { LoadedLinear } from './linear-method.ts'

export interface Expert {
  /** One layer of gate and up projection, or the two apart. */
  readonly gateUp: readonly LoadedLinear[]
  readonly down: LoadedLinear
  readonly gateUpBias: Tensor1D | null // [2 * intermediateSize]
  readonly downBias: Tensor1D | null // [hiddenSize]
}

export interface ExpertsOptions extends MoeRoutingOptions {
  readonly logits: Tensor2D // [n, numExperts]
  readonly experts: readonly Expert[]
  readonly activation: GatedActivationKind
}

/**
 * `ops/moe` by layers: each chosen expert sees the rows that the router sends to it, and they are added up in ascending
 * order of experts. x `[n, hiddenSize]` → the same shape. The choice is made on the host and constant to a tape; inputs,
 * router and what the layers hold have gradients.
 */
export function forwardExperts(x: Tensor2D, options: ExpertsOptions, context: ForwardContext): Tensor2D {
  const { logits, experts, topK, activation } = options
  const n = x.shape[0]
  return tidy(() => {
    const { expertIds } = routeTokens(logits.dataSync<'float32'>(), experts.length, options)
    const outputs: Tensor2D[] = []
    const place = new Int32Array(n * topK) // of each token's choices: their rows of all outputs
    let numRows = 0
    for (const [e, expert] of experts.entries()) {
      const choices = indicesOf(expertIds, e)
      if (choices.length === 0) continue
      const rows = choices.map((choice) => Math.floor(choice / topK))
      const input: Tensor2D = gather(x, tensor1d(rows, 'int32'))
      outputs.push(forwardExpert(input, { ...expert, activation }, atRows(context, rows)))
      for (const choice of choices) place[choice] = numRows++
    }
    const all = concat(outputs, 0)
    const gates: Tensor1D = reshape(expertGates(logits, expertIds, options), [-1])
    let sum: Tensor2D = zerosLike(x)
    for (let k = 0; k < topK; k++) {
      const chosen = Int32Array.from({ length: n }, (_, row) => row * topK + k)
      const output: Tensor2D = gather(
        all,
        tensor1d(
          chosen.map((choice) => place[choice]!),
          'int32',
        ),
      )
      const gate = gather(
        gates,
        tensor1d(
          chosen.map((choice, row) => row * experts.length + expertIds[choice]!),
          'int32',
        ),
      )
      sum = add(sum, mul(output, reshape(gate, [n, 1])))
    }
    return sum
  })
}

function forwardExpert(
  x: Tensor2D,
  { gateUp, down, gateUpBias, downBias, activation }: Expert & Pick<ExpertsOptions, 'activation'>,
  context: ForwardContext,
): Tensor2D {
  const [merged] = gateUp
  if (gateUp.length === 1) {
    return down.apply(merged!.applyGated(x, { bias: gateUpBias, kind: activation }, context), downBias, context)
  }
  const product: Tensor2D = concat(
    gateUp.map((part) => part.apply(x, null, context)),
    1,
  )
  const biased = gateUpBias === null ? product : add<Tensor2D>(product, gateUpBias)
  return down.apply(gatedActivation(biased, activation), downBias, context)
}

function indicesOf(values: Int32Array, wanted: number): Int32Array {
  const indices: number[] = []
  values.forEach((value, i) => {
    if (value === wanted) indices.push(i)
  })
  return Int32Array.from(indices)
}
