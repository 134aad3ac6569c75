import { gatedActivationKernel } from '../../../ops/gated-activation.ts'
import type { GatedActivationAttrs, GatedActivationKind } from '../../../ops/gated-activation.ts'
import { matrixShape } from '../../matrix-shape.ts'
import { cpuKernel, valuesOf } from '../cpu-kernel.ts'
import { scalarActivation, sigmoid } from './scalar-activation.ts'

/** out `[n, features]` = act(gate) * up, where a row of gateUp `[n, 2 * features]` is gate, then up. */
export function gatedActivation(
  out: Float32Array,
  gateUp: Float32Array,
  n: number,
  features: number,
  kind: GatedActivationKind,
): void {
  const combine = kind === 'swiglu_oss' ? swigluOss : gatedBy(scalarActivation[kind])
  for (let i = 0; i < n; i++) {
    const gate = i * 2 * features
    const up = gate + features
    for (let k = 0; k < features; k++) out[i * features + k] = combine(gateUp[gate + k]!, gateUp[up + k]!)
  }
}

function gatedBy(act: (x: number) => number): (gate: number, up: number) => number {
  return (gate, up) => act(gate) * up
}

function swigluOss(gate: number, up: number): number {
  const g = Math.min(gate, 7)
  return (Math.max(-7, Math.min(up, 7)) + 1) * g * sigmoid(1.702 * g)
}

export const gatedActivationKernelConfig = cpuKernel<GatedActivationAttrs>(
  gatedActivationKernel,
  ({ inputs, attrs, backend }) => {
    const [n, columns] = matrixShape(inputs.gateUp)
    const features = columns / 2
    const out = new Float32Array(n * features)
    gatedActivation(out, valuesOf(backend, inputs.gateUp), n, features, attrs.kind)
    return backend.makeTensorInfo([n, features], 'float32', out)
  },
)
