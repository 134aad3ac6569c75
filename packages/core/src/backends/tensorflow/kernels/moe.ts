import { moeKernel } from '../../../ops/moe.ts'
import type { MoeAttrs, MoeExpert } from '../../../ops/moe.ts'
import { routeTokens } from '../../../ops/moe-routing.ts'
import type { GatedActivationKind } from '../../../ops/gated-activation.ts'
import type { TfeTensor } from '../libtensorflow/tfjs-binding.ts'
import type { OpScope } from '../op-scope.ts'
import { readFloats } from '../tensorflow-backend.ts'
import { asTfWeight, tensorflowKernel } from '../tensorflow-kernel.ts'
import { boolAttr, tfDtype } from '../tf-op.ts'
import { activateGated } from './activation.ts'

/**
 * Expert by expert, over the rows that chose it. How many these are decides the shapes, so the router's logits
 * `[n, numExperts]` come to the host: the only values that do within a step.
 */
export const moeConfig = tensorflowKernel<MoeAttrs>(moeKernel, ({ attrs, ops, input }) => {
  const { experts, topK, activation } = attrs
  const x = ops.cast(input('x'), ops.device.computeDtype)
  const [n = 0, features = 0] = x.shape
  const { expertIds, weights } = routeTokens(readFloats(ops, input('routerLogits')), experts.length, attrs)
  const choices = choicesByExpert(expertIds, experts.length)
  // Results stand expert by expert; `places` finds those of each token, in ascending order of experts.
  const places = new Int32Array(n * topK)
  const sorted = new Float32Array(n * topK)
  let at = 0
  const results = choices.flatMap((chosen, e) => {
    const expert = experts[e]
    if (expert === undefined || chosen.length === 0) return []
    for (const choice of chosen) {
      sorted[at] = weights[choice]!
      places[choice] = at++
    }
    const tokens = Int32Array.from(chosen, (choice) => Math.floor(choice / topK))
    const rows = tokens.length === n ? x : ops.gather(x, ops.deviceInts(tokens))
    return [runExpert(ops, rows, expert, activation)]
  })
  const wide = ops.cast(ops.concat(results, 0), tfDtype.float32)
  const scaled = ops.run('Mul', [wide, ops.floats(sorted, [n * topK, 1])])
  const perToken = ops.reshape(ops.gather(scaled, ops.deviceInts(places)), [n, topK, features])
  return ops.run('Sum', [perToken, ops.hostInt(1)], [boolAttr('keep_dims', false)])
})

/** Per expert the indices into `[n, topK]` that chose it, ascending. */
function choicesByExpert(expertIds: Int32Array, numExperts: number): number[][] {
  const choices: number[][] = Array.from({ length: numExperts }, () => [])
  expertIds.forEach((expert, choice) => choices[expert]?.push(choice))
  return choices
}

function runExpert(ops: OpScope, x: TfeTensor, expert: MoeExpert, activation: GatedActivationKind): TfeTensor {
  const { gateUp, down, gateUpBias, downBias } = expert
  const products = gateUp.map((part) => asTfWeight(part).multiply(ops, x))
  const hidden = activateGated(ops, addBias(ops, ops.concat(products, 1), gateUpBias), activation)
  return addBias(ops, asTfWeight(down).multiply(ops, hidden), downBias)
}

function addBias(ops: OpScope, x: TfeTensor, bias: Float32Array | null): TfeTensor {
  return bias === null ? x : ops.run('AddV2', [x, ops.cast(ops.floats(bias), x.dtype)])
}
