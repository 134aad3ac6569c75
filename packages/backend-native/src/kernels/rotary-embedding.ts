import { rotaryEmbeddingKernel } from '@octavo/core/backend'
import type { RotaryEmbeddingAttrs } from '@octavo/core/backend'
import { matrixShape, nativeKernel, valuesOf } from '../native-kernel.ts'

export const rotaryEmbeddingConfig = nativeKernel<RotaryEmbeddingAttrs>(
  rotaryEmbeddingKernel,
  ({ inputs, attrs, backend }) => {
    const [n, features] = matrixShape(inputs.x)
    const { positions, headDim, rotaryDim } = attrs
    const out = backend.allocate(n * features)
    const table = valuesOf(backend, inputs.table)
    backend.pool.rotaryEmbedding(out, valuesOf(backend, inputs.x), table, positions, features, headDim, rotaryDim)
    return backend.makeOutput2d([n, features], out)
  },
)
