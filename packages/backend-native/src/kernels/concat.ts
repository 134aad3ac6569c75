import { Concat } from '@tensorflow/tfjs-core'
import type { ConcatAttrs } from '@tensorflow/tfjs-core'
import { assert } from '@octavo/core/backend'
import { cpuKernelFunc, isMatrix, nativeKernel, valuesOf } from '../native-kernel.ts'

const runOnCpu = cpuKernelFunc(Concat)

/** Matrices side by side, as products of layers that are no single weight; the rest is left to the cpu kernel. */
export const concatConfig = nativeKernel<ConcatAttrs>(Concat, (call) => {
  const { inputs, attrs, backend } = call
  // tfjs hands over a list.
  const parts = Object.values(inputs)
  if (attrs.axis !== 1 || parts.length < 2 || !parts.every(isMatrix)) return runOnCpu(call)
  const n = parts[0]!.shape[0]
  const width = parts.reduce((sum, { shape }) => sum + shape[1], 0)
  const out = backend.allocate(n * width)
  let first = 0
  for (const part of parts) {
    const [rows, count] = part.shape
    assert(rows === n, `concat: ${rows} rows beside ${n}`)
    const values = valuesOf(backend, part)
    for (let row = 0; row < n; row++) out.set(values.subarray(row * count, (row + 1) * count), row * width + first)
    first += count
  }
  return backend.makeOutput2d([n, width], out)
})
