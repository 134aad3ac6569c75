import { _FusedMatMul, BatchMatMul, broadcast_util as broadcast, getKernel, util } from '@tensorflow/tfjs-core'
import type {
  _FusedMatMulAttrs,
  BatchMatMulAttrs,
  NamedAttrMap,
  NamedTensorInfoMap,
  TensorInfo,
} from '@tensorflow/tfjs-core'
import { assert } from '@octavo/core/backend'
import type { NativeBackend } from '../native-backend.ts'
import { backendName, cpuKernelFunc, nativeKernel, valuesOf } from '../native-kernel.ts'

/** One of tfjs's own kernels that this backend has copied from `cpu`. */
function runKernel(
  backend: NativeBackend,
  name: string,
  inputs: NamedTensorInfoMap,
  attrs: NamedAttrMap = {},
): TensorInfo {
  const kernel = getKernel(name, backendName)
  assert(kernel !== undefined, `tfjs's kernel ${name} is not registered`)
  const output = kernel.kernelFunc({ inputs, attrs, backend })
  assert(!Array.isArray(output), `tfjs's kernel ${name} has one output`)
  return output
}

/** a `[…, m, k]` or transposed `[…, k, m]`, b `[…, k, n]` or `[…, n, k]` → `[…, m, n]`; batches of one repeat. */
function batchMatMul(
  backend: NativeBackend,
  a: TensorInfo,
  b: TensorInfo,
  { transposeA, transposeB }: BatchMatMulAttrs,
): TensorInfo {
  const [rowsA = 0, colsA = 0] = a.shape.slice(-2)
  const [rowsB = 0, colsB = 0] = b.shape.slice(-2)
  const [m, k] = transposeA ? [colsA, rowsA] : [rowsA, colsA]
  const [innerB, n] = transposeB ? [colsB, rowsB] : [rowsB, colsB]
  assert(k === innerB, `matMul: [${a.shape.join(', ')}] and [${b.shape.join(', ')}] do not fit`)
  const outerShape = broadcast.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2))
  const batch = util.sizeFromShape(outerShape)
  const [aValues, bValues] = [valuesOf(backend, a), valuesOf(backend, b)]
  const out = new Float32Array(batch * m * n)
  const numProducts = out.length === 0 || k === 0 ? 0 : batch
  for (let i = 0; i < numProducts; i++) {
    const aStart = (i * m * k) % aValues.length
    const bStart = (i * k * n) % bValues.length
    backend.pool.matMul(
      out.subarray(i * m * n, (i + 1) * m * n),
      aValues.subarray(aStart, aStart + m * k),
      bValues.subarray(bStart, bStart + k * n),
      m,
      k,
      n,
      transposeA,
      transposeB,
    )
  }
  return backend.makeTensorInfo([...outerShape, m, n], 'float32', out)
}

/** Products of int32 are left to tfjs's own kernels, which add them up in their own way. */
function isFloat32({ a, b }: NamedTensorInfoMap): boolean {
  return a?.dtype === 'float32' && b?.dtype === 'float32'
}

const runBatchOnCpu = cpuKernelFunc(BatchMatMul)
const runFusedOnCpu = cpuKernelFunc(_FusedMatMul)

/** tfjs's `matMul`: what composites and training spend their time in. */
export const batchMatMulConfig = nativeKernel<BatchMatMulAttrs>(BatchMatMul, (call) => {
  const { inputs, attrs, backend } = call
  if (!isFloat32(inputs)) return runBatchOnCpu(call)
  const { a, b } = inputs
  assert(a !== undefined && b !== undefined, 'matMul misses an input')
  return batchMatMul(backend, a, b, attrs)
})

/** tfjs's names of fused activations and the kernels that compute them. */
const activationKernels: Readonly<Record<string, string>> = {
  elu: 'Elu',
  leakyrelu: 'LeakyRelu',
  prelu: 'Prelu',
  relu: 'Relu',
  relu6: 'Relu6',
  sigmoid: 'Sigmoid',
}

function activate(
  backend: NativeBackend,
  x: TensorInfo,
  { activation, leakyreluAlpha }: _FusedMatMulAttrs,
  preluWeights: TensorInfo | undefined,
): TensorInfo {
  const name = activationKernels[activation]
  assert(name !== undefined, `matMul has no activation ${activation}`)
  if (name === 'Prelu' && preluWeights !== undefined) return runKernel(backend, name, { x, alpha: preluWeights })
  return runKernel(backend, name, { x }, name === 'LeakyRelu' ? { alpha: leakyreluAlpha ?? 0.2 } : {})
}

/** `activation(a @ b + bias)` */
export const fusedMatMulConfig = nativeKernel<_FusedMatMulAttrs>(_FusedMatMul, (call) => {
  const { inputs, attrs, backend } = call
  if (!isFloat32(inputs)) return runFusedOnCpu(call)
  const { a, b, bias, preluActivationWeights } = inputs
  assert(a !== undefined && b !== undefined, 'matMul misses an input')
  const steps = [batchMatMul(backend, a, b, attrs)]
  const last = (): TensorInfo => steps[steps.length - 1]!
  if (bias !== undefined) steps.push(runKernel(backend, 'Add', { a: last(), b: bias }))
  // tfjs types it as always there and leaves it out all the same.
  if (Boolean(attrs.activation) && attrs.activation !== 'linear')
    steps.push(activate(backend, last(), attrs, preluActivationWeights))
  for (const step of steps.slice(0, -1)) backend.disposeIntermediateTensorInfo(step)
  return last()
})
