import { layerNormKernel } from '../../../ops/layer-norm.ts'
import type { LayerNormAttrs } from '../../../ops/layer-norm.ts'
import { addRmsNormKernel, rmsNormKernel } from '../../../ops/rms-norm.ts'
import type { RmsNormAttrs } from '../../../ops/rms-norm.ts'
import { assert } from '../../../util/assert.ts'
import type { TfeTensor } from '../libtensorflow/tfjs-binding.ts'
import type { OpScope } from '../op-scope.ts'
import { tensorflowKernel } from '../tensorflow-kernel.ts'
import { boolAttr, tfDtype } from '../tf-op.ts'

const keepDims = [boolAttr('keep_dims', true)]

export const rmsNormConfig = tensorflowKernel<RmsNormAttrs>(rmsNormKernel, ({ attrs, ops, input }) =>
  rmsNorm(ops, input('x'), { weight: input('weight'), epsilon: attrs.epsilon }),
)

export const addRmsNormConfig = tensorflowKernel<RmsNormAttrs>(addRmsNormKernel, ({ attrs, ops, input }) => {
  const [x, residual] = [input('x'), input('residual')].map((term) => ops.cast(term, tfDtype.float32))
  assert(x !== undefined && residual !== undefined, 'a sum has two terms')
  if (ops.has('OctavoAddRmsNorm')) {
    const inputs = [x, residual, input('weight'), ops.device.scalar(attrs.epsilon)]
    const [normed, total] = ops.runMany('OctavoAddRmsNorm', inputs, { numOutputs: 2 })
    assert(normed !== undefined && total !== undefined, 'a sum and its norm are two tensors')
    return [ops.cast(normed, ops.device.computeDtype), total]
  }
  const sum = ops.run('AddV2', [x, residual])
  return [rmsNorm(ops, sum, { weight: input('weight'), epsilon: attrs.epsilon }), sum]
})

export const layerNormConfig = tensorflowKernel<LayerNormAttrs>(
  layerNormKernel,
  ({ attrs, ops, input, optionalInput }) => {
    const wide = ops.cast(input('x'), tfDtype.float32)
    const centred = ops.run('Sub', [wide, ops.run('Mean', [wide, ops.hostInt(1)], keepDims)])
    const scaled = scaleByMeanSquare(ops, centred, { weight: input('weight'), epsilon: attrs.epsilon })
    const bias = optionalInput('bias')
    return ops.cast(bias === null ? scaled : ops.run('AddV2', [scaled, bias]), ops.device.computeDtype)
  },
)

interface Scaling {
  readonly weight: TfeTensor
  readonly epsilon: number
}

/** In float32; the result goes into a matrix product. */
function rmsNorm(ops: OpScope, x: TfeTensor, scaling: Scaling): TfeTensor {
  return ops.cast(scaleByMeanSquare(ops, ops.cast(x, tfDtype.float32), scaling), ops.device.computeDtype)
}

function scaleByMeanSquare(ops: OpScope, x: TfeTensor, { weight, epsilon }: Scaling): TfeTensor {
  if (ops.has('OctavoRmsNorm')) return ops.run('OctavoRmsNorm', [x, weight, ops.device.scalar(epsilon)])
  const meanSquare = ops.run('Mean', [ops.run('Square', [x]), ops.hostInt(1)], keepDims)
  const factor = ops.run('Rsqrt', [ops.run('AddV2', [meanSquare, ops.device.scalar(epsilon)])])
  return ops.run('Mul', [ops.run('Mul', [x, factor]), weight])
}
