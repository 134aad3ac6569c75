import { GatherV2 } from '@tensorflow/tfjs-core'
import type { GatherV2Attrs } from '@tensorflow/tfjs-core'
import { assert } from '@octavo/core/backend'
import { cpuKernelFunc, isMatrix, nativeKernel, valuesOf } from '../native-kernel.ts'

const runOnCpu = cpuKernelFunc(GatherV2)

/** Rows of a matrix, such as those whose logits are wanted; the rest is left to the cpu kernel. */
export const gatherConfig = nativeKernel<GatherV2Attrs>(GatherV2, (call) => {
  const { inputs, attrs, backend } = call
  const { x, indices } = inputs
  if (!isMatrix(x) || indices?.shape.length !== 1 || attrs.axis !== 0 || attrs.batchDims !== 0) return runOnCpu(call)
  const rows = backend.data.get(indices.dataId).values
  assert(rows instanceof Int32Array, 'indices are int32')
  const [numRows, width] = x.shape
  const values = valuesOf(backend, x)
  const out = backend.allocate(rows.length * width)
  rows.forEach((row, i) => {
    assert(row >= 0 && row < numRows, `gather: row ${row} is outside [0, ${numRows})`)
    out.set(values.subarray(row * width, (row + 1) * width), i * width)
  })
  return backend.makeOutput2d([rows.length, width], out)
})
