import { gatedLinearKernel } from '@octavo/core/backend'
import type { GatedActivationKind, GatedLinearAttrs, PackedWeight } from '@octavo/core/backend'
import type { NativeBackend } from '../native-backend.ts'
import { asNativeWeight, matrixShape, nativeKernel, optionalValuesOf, valuesOf } from '../native-kernel.ts'

interface GatedLinearCall {
  readonly x: Float32Array // [n, cols]
  readonly n: number
  readonly bias: Float32Array | null // [rows]
  readonly kind: GatedActivationKind
}

/** → `[n, rows / 2]`, in an array of the backend's pool. */
export function runGatedLinear(
  backend: NativeBackend,
  weight: PackedWeight,
  { x, n, bias, kind }: GatedLinearCall,
): Float32Array<ArrayBuffer> {
  const { matrix, rows } = asNativeWeight(weight)
  const features = rows / 2
  const out = backend.allocate(n * features)
  if (features % matrix.panelRows === 0) {
    backend.pool.gatedLinear(matrix, out, x, n, bias, kind)
    return out
  }
  const gateUp = backend.allocate(n * rows)
  backend.pool.linear(matrix, gateUp, x, n, bias)
  backend.pool.gatedActivation(out, gateUp, kind, n, features)
  backend.release(gateUp)
  return out
}

export const gatedLinearConfig = nativeKernel<GatedLinearAttrs>(gatedLinearKernel, ({ inputs, attrs, backend }) => {
  const { weight, kind } = attrs
  const [n] = matrixShape(inputs.x)
  const [x, bias] = [valuesOf(backend, inputs.x), optionalValuesOf(backend, inputs.bias)]
  return backend.makeOutput2d([n, weight.rows / 2], runGatedLinear(backend, weight, { x, n, bias, kind }))
})
