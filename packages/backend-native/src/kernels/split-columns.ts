import { splitColumnsKernel } from '@octavo/core/backend'
import type { SplitColumnsAttrs } from '@octavo/core/backend'
import { matrixShape, nativeKernel, valuesOf } from '../native-kernel.ts'

export const splitColumnsConfig = nativeKernel<SplitColumnsAttrs>(splitColumnsKernel, ({ inputs, attrs, backend }) => {
  const [n, width] = matrixShape(inputs.x)
  const values = valuesOf(backend, inputs.x)
  let first = 0
  return attrs.widths.map((count) => {
    const out = backend.allocate(n * count)
    backend.pool.copyColumns(out, values, n, width, first, count)
    first += count
    return backend.makeOutput2d([n, count], out)
  })
})
