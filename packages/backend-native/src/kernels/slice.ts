import { Slice, slice_util as sliceUtil } from '@tensorflow/tfjs-core'
import type { SliceAttrs } from '@tensorflow/tfjs-core'
import { cpuKernelFunc, isMatrix, nativeKernel, valuesOf } from '../native-kernel.ts'

const runOnCpu = cpuKernelFunc(Slice)

/** Columns of a matrix, as layers cut queries, keys and values apart; the rest is left to the cpu kernel. */
export const sliceConfig = nativeKernel<SliceAttrs>(Slice, (call) => {
  const { inputs, attrs, backend } = call
  const { x } = inputs
  if (!isMatrix(x)) return runOnCpu(call)
  const [begin = [], size = []] = sliceUtil.parseSliceParams(x, attrs.begin, attrs.size)
  const [firstRow = 0, first = 0] = begin
  const [n = 0, count = 0] = size
  sliceUtil.assertParamsValid(x, [firstRow, first], [n, count])
  const width = x.shape[1]
  const values = valuesOf(backend, x)
  const out = backend.allocate(n * count)
  backend.pool.copyColumns(out, values.subarray(firstRow * width, (firstRow + n) * width), n, width, first, count)
  return backend.makeOutput2d([n, count], out)
})
