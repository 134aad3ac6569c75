import { gramKernel, inverseCholeskyKernel } from '@octavo/core/backend'
import type { GramAttrs, InverseCholeskyAttrs } from '@octavo/core/backend'
import { matrixShape, nativeKernel, valuesOf } from '../native-kernel.ts'

export const gramConfig = nativeKernel<GramAttrs>(gramKernel, ({ inputs, attrs, backend }) => {
  const [n, width] = matrixShape(inputs.x)
  backend.pool.addGram(attrs.sums, valuesOf(backend, inputs.x), n, width)
  return []
})

export const inverseCholeskyConfig = nativeKernel<InverseCholeskyAttrs>(
  inverseCholeskyKernel,
  ({ attrs: { matrix, n }, backend }) => {
    const failed = backend.pool.inverseFactor(matrix, n)
    return backend.makeTensorInfo([1], 'int32', Int32Array.of(failed))
  },
)
