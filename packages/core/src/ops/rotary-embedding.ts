import { add, concat, expandDims, gather, mul, reshape, slice, sub, tensor1d, tidy } from '@tensorflow/tfjs-core'
import type { Tensor2D, Tensor3D } from '@tensorflow/tfjs-core'
import { assert } from '../util/assert.ts'
import { hasKernel, runOp } from './op.ts'

/** Tensor inputs: `x` `[n, numHeads * headDim]`, `table` `[maxPositions, rotaryDim]`. */
export const rotaryEmbeddingKernel = 'OctavoRotaryEmbedding'

export interface RotaryEmbeddingAttrs {
  readonly positions: Int32Array // [n]
  readonly headDim: number
  readonly rotaryDim: number
}

/**
 * Rotary position embedding (Su et al. 2021, arXiv:2104.09864) in GPT-NeoX order: of every head's first `rotaryDim`
 * dimensions the pairs `(i, i + rotaryDim / 2)` are rotated by their row's angle; the rest passes through.
 *
 * x `[n, numHeads * headDim]` → the same shape. A row of `table` `[maxPositions, rotaryDim]` holds `rotaryDim / 2`
 * cosines, then as many sines, attention factors already multiplied in.
 */
export function rotaryEmbedding(x: Tensor2D, table: Tensor2D, options: RotaryEmbeddingAttrs): Tensor2D {
  const { positions, headDim, rotaryDim } = options
  assert(x.shape[0] === positions.length, `rotaryEmbedding: ${x.shape[0]} rows, ${positions.length} positions`)
  assert(x.shape[1] % headDim === 0, `rotaryEmbedding: ${x.shape[1]} features are not whole heads of ${headDim}`)
  assert(rotaryDim % 2 === 0 && rotaryDim <= headDim, `rotaryEmbedding: rotaryDim ${rotaryDim} of headDim ${headDim}`)
  assert(table.shape[1] === rotaryDim, `rotaryEmbedding: the table has ${table.shape[1]} columns, not ${rotaryDim}`)
  const maxPositions = table.shape[0]
  for (const p of positions) assert(p >= 0 && p < maxPositions, `position ${p} is outside [0, ${maxPositions})`)
  if (!hasKernel(rotaryEmbeddingKernel)) return rotaryEmbeddingComposite(x, table, options)
  return runOp<Tensor2D>(rotaryEmbeddingKernel, { x, table }, options)
}

export function rotaryEmbeddingComposite(x: Tensor2D, table: Tensor2D, options: RotaryEmbeddingAttrs): Tensor2D {
  const { positions, headDim, rotaryDim } = options
  const [n, features] = x.shape
  const numHeads = features / headDim
  const half = rotaryDim / 2
  if (n === 0) return x.clone()
  return tidy(() => {
    const rows = gather(table, tensor1d(positions, 'int32')) // [n, rotaryDim]
    const cos = expandDims<Tensor3D>(slice(rows, [0, 0], [n, half]), 1) // [n, 1, half]
    const sin = expandDims<Tensor3D>(slice(rows, [0, half], [n, half]), 1)
    const heads: Tensor3D = reshape(x, [n, numHeads, headDim])
    const first = slice(heads, [0, 0, 0], [n, numHeads, half])
    const second = slice(heads, [0, 0, half], [n, numHeads, half])
    const parts: Tensor3D[] = [sub(mul(first, cos), mul(second, sin)), add(mul(second, cos), mul(first, sin))]
    if (rotaryDim < headDim) parts.push(slice(heads, [0, 0, rotaryDim], [n, numHeads, headDim - rotaryDim]))
    return reshape(concat(parts, 2), [n, features])
  })
}
