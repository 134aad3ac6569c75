import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core'
import { assertSlot } from '../tensor/kv-storage.ts'
import type { KvStorage } from '../tensor/kv-storage.ts'
import { assert } from '../util/assert.ts'
import { hasKernel, refuseTape, runOp } from './op.ts'

/** Tensor inputs: `keys`, `values` `[n, numKvHeads * headDim]`; returns no tensor. */
export const kvWriteKernel = 'OctavoKvWrite'

export interface KvWriteAttrs {
  readonly kv: KvStorage
  readonly layer: number
  readonly slotMapping: Int32Array // [n]
}

/**
 * Writes row `i` of keys and values `[n, numKvHeads * headDim]` into slot `slotMapping[i]` of one layer, in place.
 *
 * @throws NoGradientError under a gradient tape: what the cache holds has left it.
 */
export function kvWrite(keys: Tensor2D, values: Tensor2D, options: KvWriteAttrs): void {
  refuseTape('kvWrite', 'Train with `attention` of ops/attention.ts, which takes keys and values as tensors.')
  const { kv, layer, slotMapping } = options
  const { numLayers, numKvHeads, headDim } = kv.layout
  const width = numKvHeads * headDim
  assert(layer >= 0 && layer < numLayers, `kvWrite: layer ${layer} of ${numLayers}`)
  for (const rows of [keys, values]) {
    assert(
      rows.shape[0] === slotMapping.length && rows.shape[1] === width,
      `kvWrite: rows [${rows.shape.join(', ')}], expected [${slotMapping.length}, ${width}]`,
    )
  }
  for (const slot of slotMapping) assertSlot(kv.layout, slot)
  if (hasKernel(kvWriteKernel)) runOp<Tensor[]>(kvWriteKernel, { keys, values }, options)
  else kvWriteComposite(keys, values, options)
}

export function kvWriteComposite(keys: Tensor2D, values: Tensor2D, { kv, layer, slotMapping }: KvWriteAttrs): void {
  kv.writeRows(layer, slotMapping, keys.dataSync<'float32'>(), values.dataSync<'float32'>())
}
