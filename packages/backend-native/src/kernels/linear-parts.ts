import { linearPartsKernel } from '@octavo/core/backend'
import type { LinearPartsAttrs } from '@octavo/core/backend'
import { asNativeWeight, matrixShape, nativeKernel, optionalValuesOf, valuesOf } from '../native-kernel.ts'

export const linearPartsConfig = nativeKernel<LinearPartsAttrs>(linearPartsKernel, ({ inputs, attrs, backend }) => {
  const { matrix, rows } = asNativeWeight(attrs.weight)
  const { widths } = attrs
  const [n] = matrixShape(inputs.x)
  const [x, bias] = [valuesOf(backend, inputs.x), optionalValuesOf(backend, inputs.bias)]
  const parts = widths.map((width) => backend.allocate(n * width))
  if (widths.slice(0, -1).every((width) => width % matrix.panelRows === 0)) {
    backend.pool.linearParts(matrix, Int32Array.from(widths), x, n, bias, ...parts)
  } else {
    const product = backend.allocate(n * rows)
    backend.pool.linear(matrix, product, x, n, bias)
    let first = 0
    parts.forEach((part, i) => {
      backend.pool.copyColumns(part, product, n, rows, first, widths[i]!)
      first += widths[i]!
    })
    backend.release(product)
  }
  return parts.map((part, i) => backend.makeOutput2d([n, widths[i]!], part))
})
