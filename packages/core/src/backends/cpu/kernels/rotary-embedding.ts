import { rotaryEmbeddingKernel } from '../../../ops/rotary-embedding.ts'
import type { RotaryEmbeddingAttrs } from '../../../ops/rotary-embedding.ts'
import { matrixShape } from '../../matrix-shape.ts'
import { cpuKernel, valuesOf } from '../cpu-kernel.ts'

/** out, x `[n, features]`; table `[maxPositions, rotaryDim]`, cosines then sines; positions `[n]`. */
export function rotaryEmbedding(
  out: Float32Array,
  x: Float32Array,
  table: Float32Array,
  positions: Int32Array,
  features: number,
  headDim: number,
  rotaryDim: number,
): void {
  const half = rotaryDim / 2
  out.set(x) // dimensions from rotaryDim on stay as they are
  for (let i = 0; i < positions.length; i++) {
    const cos = positions[i]! * rotaryDim
    const sin = cos + half
    for (let head = i * features; head < (i + 1) * features; head += headDim) {
      for (let k = 0; k < half; k++) {
        const first = x[head + k]!
        const second = x[head + half + k]!
        out[head + k] = first * table[cos + k]! - second * table[sin + k]!
        out[head + half + k] = second * table[cos + k]! + first * table[sin + k]!
      }
    }
  }
}

export const rotaryEmbeddingKernelConfig = cpuKernel<RotaryEmbeddingAttrs>(
  rotaryEmbeddingKernel,
  ({ inputs, attrs, backend }) => {
    const [n, features] = matrixShape(inputs.x)
    const { positions, headDim, rotaryDim } = attrs
    const x = valuesOf(backend, inputs.x)
    const out = new Float32Array(n * features)
    rotaryEmbedding(out, x, valuesOf(backend, inputs.table), positions, features, headDim, rotaryDim)
    return backend.makeTensorInfo([n, features], 'float32', out)
  },
)
