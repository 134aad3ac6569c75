import { tensor2d } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import type { PackedWeight } from '../tensor/packed-weight.ts'
import { assert } from '../util/assert.ts'
import { hasKernel, runOp } from './op.ts'

export const embeddingKernel = 'OctavoEmbedding'

export interface EmbeddingAttrs {
  readonly ids: Int32Array
  readonly weight: PackedWeight
}

/**
 * Rows `ids` of `weight` `[vocabSize, hiddenSize]`, widened to float32: `[ids.length, hiddenSize]`. A packed weight is a constant;
 * one to be trained is a `tf.variable` under `tf.gather`.
 */
export function embedding(ids: Int32Array, weight: PackedWeight): Tensor2D {
  for (const id of ids) assert(id >= 0 && id < weight.rows, `token id ${id} is outside [0, ${weight.rows})`)
  const attrs: EmbeddingAttrs = { ids, weight }
  return hasKernel(embeddingKernel) ? runOp<Tensor2D>(embeddingKernel, {}, attrs) : embeddingComposite(attrs)
}

export function embeddingComposite({ ids, weight }: EmbeddingAttrs): Tensor2D {
  const out = new Float32Array(ids.length * weight.cols)
  ids.forEach((id, i) => weight.readRow(id, out.subarray(i * weight.cols, (i + 1) * weight.cols)))
  return tensor2d(out, [ids.length, weight.cols])
}
