import { activationKernel } from '../../../ops/activation.ts'
import type { ActivationAttrs, ActivationKind } from '../../../ops/activation.ts'
import { gatedActivationKernel } from '../../../ops/gated-activation.ts'
import type { GatedActivationAttrs, GatedActivationKind } from '../../../ops/gated-activation.ts'
import { assert, unreachable } from '../../../util/assert.ts'
import type { TfeTensor } from '../libtensorflow/tfjs-binding.ts'
import type { OpScope } from '../op-scope.ts'
import { tensorflowKernel } from '../tensorflow-kernel.ts'
import { intAttr, tfDtype } from '../tf-op.ts'

export const activationConfig = tensorflowKernel<ActivationAttrs>(activationKernel, ({ attrs, ops, input }) =>
  activate(ops, input('x'), attrs.kind),
)

export const gatedActivationConfig = tensorflowKernel<GatedActivationAttrs>(
  gatedActivationKernel,
  ({ attrs, ops, input }) => activateGated(ops, input('gateUp'), attrs.kind),
)

/** By their numbers in native code, which has no erf for `gelu`. */
const fusedKinds: ReadonlyMap<GatedActivationKind, number> = new Map([
  ['silu', 0],
  ['gelu_tanh', 1],
  ['swiglu_oss', 2],
])

const halves = [intAttr('num_split', 2)]

/** gateUp `[n, 2 * features]` → `[n, features]`. */
export function activateGated(ops: OpScope, gateUp: TfeTensor, kind: GatedActivationKind): TfeTensor {
  const fusedKind = fusedKinds.get(kind)
  if (fusedKind !== undefined && gateUp.dtype === tfDtype.float32 && ops.has('OctavoGatedActivation'))
    return ops.run('OctavoGatedActivation', [gateUp, ops.device.scalar(fusedKind, tfDtype.int32)])
  const [gate, up] = ops.runMany('Split', [ops.hostInt(1), gateUp], { numOutputs: 2, attrs: halves })
  assert(gate !== undefined && up !== undefined, 'a gated activation has two halves')
  if (kind !== 'swiglu_oss') return ops.run('Mul', [activate(ops, gate, kind), up])
  const scalar = (value: number): TfeTensor => ops.device.scalar(value, gateUp.dtype)
  const clampedGate = ops.run('Minimum', [gate, scalar(7)])
  const clampedUp = ops.run('Maximum', [ops.run('Minimum', [up, scalar(7)]), scalar(-7)])
  const product = ops.run('Mul', [ops.run('AddV2', [clampedUp, scalar(1)]), clampedGate])
  return ops.run('Mul', [product, ops.run('Sigmoid', [ops.run('Mul', [clampedGate, scalar(1.702)])])])
}

function activate(ops: OpScope, x: TfeTensor, kind: ActivationKind): TfeTensor {
  const scalar = (value: number): TfeTensor => ops.device.scalar(value, x.dtype)
  switch (kind) {
    case 'silu':
      return ops.run('Mul', [x, ops.run('Sigmoid', [x])])
    case 'relu':
      return ops.run('Relu', [x])
    case 'gelu': {
      // x / 2 * (1 + erf(x / sqrt(2))), which erfc gives without cancellation.
      const tail = ops.run('Erfc', [ops.run('Mul', [x, scalar(-Math.SQRT1_2)])])
      return ops.run('Mul', [ops.run('Mul', [x, scalar(0.5)]), tail])
    }
    case 'gelu_tanh': {
      // x / 2 * (1 + tanh(z)) is x * sigmoid(2 z), with z = c * (x + 0.044715 x^3).
      const c = 2 * Math.sqrt(2 / Math.PI)
      const factor = ops.run('AddV2', [ops.run('Mul', [ops.run('Square', [x]), scalar(c * 0.044715)]), scalar(c)])
      return ops.run('Mul', [x, ops.run('Sigmoid', [ops.run('Mul', [factor, x])])])
    }
    default:
      return unreachable(kind)
  }
}
