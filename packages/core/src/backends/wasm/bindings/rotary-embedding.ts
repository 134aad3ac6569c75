import { rotaryEmbeddingKernel } from '../../../ops/rotary-embedding.ts'
import type { RotaryEmbeddingAttrs } from '../../../ops/rotary-embedding.ts'
import { divideExactly } from '../../../util/math.ts'
import { matrixShape } from '../../matrix-shape.ts'
import { wasmKernel } from '../wasm-kernel.ts'

export const rotaryEmbeddingConfig = wasmKernel<RotaryEmbeddingAttrs>(
  rotaryEmbeddingKernel,
  ({ inputs, attrs: { positions, headDim, rotaryDim }, runtime }) => {
    const [n, features] = matrixShape(inputs.x)
    const out = runtime.createOutput(n, features)
    const [positionsPointer = 0] = runtime.heap.scratch(positions.byteLength)
    runtime.heap.ints(positionsPointer, n).set(positions)
    runtime.kernels.rotaryEmbedding(
      out.pointer,
      runtime.pointerOf(inputs.x),
      runtime.pointerOf(inputs.table),
      positionsPointer,
      n,
      divideExactly(features, headDim),
      headDim,
      rotaryDim,
    )
    return out.tensor
  },
)
