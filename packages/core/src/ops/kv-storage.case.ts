import { memory, tensor2d } from '@tensorflow/tfjs-core'
import { describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { kvBytesPerToken } from '../tensor/kv-storage.ts'
import type { KvLayout, KvStorage } from '../tensor/kv-storage.ts'
import { expectSameBits } from './expectations.case.ts'
import { RandomData } from './random-data.case.ts'
import { kvWrite, kvWriteComposite } from './kv-write.ts'

const layout: KvLayout = { numLayers: 3, numBlocks: 7, blockSize: 4, numKvHeads: 2, headDim: 5 }
const width = layout.numKvHeads * layout.headDim
const numSlots = layout.numBlocks * layout.blockSize
const allSlots = Int32Array.from({ length: numSlots }, (_, i) => i)

/** Keys, then values, of every layer. */
function snapshot(kv: KvStorage): Float32Array[] {
  return Array.from({ length: layout.numLayers }, (_, layer) => {
    const { keys, values } = kv.gather(layer, allSlots)
    const copies = [keys, values].map((tensor) => {
      expect(tensor.shape).toEqual([numSlots, layout.numKvHeads, layout.headDim])
      const copy = Float32Array.from(tensor.dataSync<'float32'>())
      tensor.dispose()
      return copy
    })
    return copies
  }).flat()
}

function fill(kv: KvStorage, random: RandomData): void {
  for (let layer = 0; layer < layout.numLayers; layer++) {
    kv.writeRows(layer, allSlots, random.floats(numSlots * width), random.floats(numSlots * width))
  }
}

/** `KvStorage` and `kvWrite`. */
export function describeKvStorage(getPack: () => BackendPack): void {
  describe('KV storage', () => {
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
        expected[2]!.set(keys.subarray(i * width, (i + 1) * width), slot * width)
        expected[3]!.set(values.subarray(i * width, (i + 1) * width), slot * width)
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
