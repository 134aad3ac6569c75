import { memory, tensor2d } from '@tensorflow/tfjs-core'
import { beforeEach, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createKvArray } from '../tensor/kv-codec.ts'
import { allKvDTypes, kvBytesPerToken } from '../tensor/kv-storage.ts'
import type { KvDType, KvLayout, KvStorage } from '../tensor/kv-storage.ts'
import { expectSameBits, relativeError } from './expectations.case.ts'
import { RandomData } from './random-data.case.ts'
import { kvWrite, kvWriteComposite } from './kv-write.ts'

const shape = { numLayers: 3, numBlocks: 7, blockSize: 4, numKvHeads: 2, headDim: 5 }
const width = shape.numKvHeads * shape.headDim
const numSlots = shape.numBlocks * shape.blockSize
const allSlots = Int32Array.from({ length: numSlots }, (_, i) => i)

/** Keys, then values, of every layer. */
function snapshot(kv: KvStorage): Float32Array[] {
  return Array.from({ length: shape.numLayers }, (_, layer) => {
    const { keys, values } = kv.gather(layer, allSlots)
    const copies = [keys, values].map((tensor) => {
      expect(tensor.shape).toEqual([numSlots, shape.numKvHeads, shape.headDim])
      const copy = Float32Array.from(tensor.dataSync<'float32'>())
      tensor.dispose()
      return copy
    })
    return copies
  }).flat()
}

function fill(kv: KvStorage, random: RandomData): void {
  for (let layer = 0; layer < shape.numLayers; layer++) {
    kv.writeRows(layer, allSlots, random.floats(numSlots * width), random.floats(numSlots * width))
  }
}

/** What a cache of `dtype` gives back for rows `[n, numKvHeads * headDim]`. */
function stored(dtype: KvDType, rows: Float32Array, { numKvHeads, headDim } = shape): Float32Array {
  const array = createKvArray(dtype, { numSlots: 1, numKvHeads, headDim })
  const out = new Float32Array(rows.length)
  for (let at = 0; at < rows.length; at += numKvHeads * headDim) {
    array.write(0, rows, at)
    array.read(0, out, at)
  }
  return out
}

/** `KvStorage` and `kvWrite`. */
export function describeKvStorage(getPack: () => BackendPack): void {
  describe.each(allKvDTypes)('KV storage in %s', (dtype) => {
    const layout: KvLayout = { ...shape, dtype }

    beforeEach(({ skip }) => {
      if (!getPack().kvCacheDtypes.includes(dtype)) skip(`the pack has no KV cache in ${dtype}`)
    })

    it('counts its bytes and frees them', () => {
      const pack = getPack()
      const before = pack.usedBytes
      const kv = pack.createKvStorage(layout)
      expect(kv.layout).toEqual(layout)
      expect(kv.sizeInBytes).toBe(numSlots * kvBytesPerToken(layout))
      expect(pack.usedBytes - before).toBe(kv.sizeInBytes)
      kv.dispose()
      expect(pack.usedBytes).toBe(before)
      expect(() => kv.gather(0, allSlots)).toThrow('after dispose')
    })

    it.each([
      ['kvWrite', kvWrite],
      ['its composite', kvWriteComposite],
    ])('%s changes its own slots of its own layer only', (_, write) => {
      const random = new RandomData(20)
      const kv = getPack().createKvStorage(layout)
      fill(kv, random)
      const expected = snapshot(kv)
      const slotMapping = Int32Array.from(random.permutation(numSlots).slice(0, 9))
      const [keys, values] = [random.floats(9 * width), random.floats(9 * width)]
      slotMapping.forEach((slot, i) => {
        expected[2]!.set(stored(dtype, keys.subarray(i * width, (i + 1) * width)), slot * width)
        expected[3]!.set(stored(dtype, values.subarray(i * width, (i + 1) * width)), slot * width)
      })
      const before = memory().numTensors
      const [keyRows, valueRows] = [tensor2d(keys, [9, width]), tensor2d(values, [9, width])]
      write(keyRows, valueRows, { kv, layer: 1, slotMapping })
      keyRows.dispose()
      valueRows.dispose()
      expect(memory().numTensors).toBe(before)
      snapshot(kv).forEach((actual, i) => expectSameBits(actual, expected[i]!, `array ${i}`))
      kv.dispose()
    })

    it('copies a block in every layer and leaves the others alone', () => {
      const random = new RandomData(21)
      const kv = getPack().createKvStorage(layout)
      fill(kv, random)
      const length = layout.blockSize * width
      const expected = snapshot(kv)
      for (const values of expected) values.copyWithin(1 * length, 5 * length, 6 * length)
      kv.copyBlock(5, 1)
      snapshot(kv).forEach((actual, i) => expectSameBits(actual, expected[i]!, `array ${i}`))
      kv.dispose()
    })

    it.each([1, 5, 16, 31, 64, 80, 128])('keeps heads of %i elements as the codec says', (headDim) => {
      const random = new RandomData(23)
      const kv = getPack().createKvStorage({ ...layout, numLayers: 1, headDim })
      const magnitudes = [1, 1e-3, 300, 1e30, 1e-31, 1e-40, 0]
      const rows = magnitudes.map((magnitude) => random.floats(2 * headDim, magnitude))
      // Ties of the rounding, in bfloat16 and, with a scale of 1, in int8.
      rows.push(Float32Array.from({ length: 2 * headDim }, (_, i) => (i % headDim === 0 ? 127 : i - headDim + 0.5)))
      rows.push(Float32Array.from({ length: 2 * headDim }, (_, i) => 1 + (2 * i + 1) * 2 ** -8))
      const spoilt = random.floats(2 * headDim)
      spoilt[headDim - 1] = NaN
      spoilt[headDim] = -Infinity
      rows.push(spoilt)
      const slots = Int32Array.from(rows, (_, i) => (i * 5) % numSlots)
      const all = Float32Array.from(rows.flatMap((row) => [...row]))
      kv.writeRows(0, slots, all, all.slice().reverse())
      const { keys, values } = kv.gather(0, slots)
      const expected = stored(dtype, all, { ...shape, headDim })
      expect(keys.dataSync<'float32'>()).toEqual(expected)
      expect(values.dataSync<'float32'>()).toEqual(stored(dtype, all.slice().reverse(), { ...shape, headDim }))
      const finite = 7 * 2 * headDim
      const allowed = { float32: 0, bfloat16: 2 ** -8, int8: 1 / 253 }[dtype]
      expect(relativeError(expected.subarray(0, 2 * headDim), all.subarray(0, 2 * headDim))).toBeLessThanOrEqual(
        allowed,
      )
      expect(expected.subarray(0, finite).every((value) => Number.isFinite(value))).toBe(true)
      keys.dispose()
      values.dispose()
      kv.dispose()
    })

    it('gathers slots in any order', () => {
      const random = new RandomData(22)
      const kv = getPack().createKvStorage(layout)
      fill(kv, random)
      const [allKeys] = snapshot(kv)
      const slots = Int32Array.of(27, 0, 13, 13)
      const { keys, values } = kv.gather(0, slots)
      const gathered = keys.dataSync<'float32'>()
      slots.forEach((slot, i) => {
        expectSameBits(
          gathered.slice(i * width, (i + 1) * width),
          allKeys!.slice(slot * width, (slot + 1) * width),
          `row ${i}`,
        )
      })
      keys.dispose()
      values.dispose()
      kv.dispose()
    })
  })
}
