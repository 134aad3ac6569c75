import { setBackend, tensor2d } from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { kvWrite } from '../../ops/kv-write.ts'
import { RandomData } from '../../ops/random-data.case.ts'
import { float32ToBfloat16 } from '../../tensor/narrow-floats.ts'
import { kvBytesPerToken } from '../../tensor/kv-storage.ts'
import type { KvStorage } from '../../tensor/kv-storage.ts'
import { skipReason, testedBinding } from './tensorflow-available.case.ts'
import { createTensorflowPack } from './tensorflow-pack.ts'

const layout = { dtype: 'float32' as const, numLayers: 2, numBlocks: 3, blockSize: 4, numKvHeads: 2, headDim: 8 }
const width = 16

function keysAt(kv: KvStorage, slots: readonly number[]): number[] {
  const { keys, values } = kv.gather(0, Int32Array.from(slots))
  const read = [...keys.dataSync()]
  for (const tensor of [keys, values]) tensor.dispose()
  return read
}

describe.skipIf(skipReason !== null)('the KV cache in resource variables', () => {
  beforeAll(async () => {
    await createTensorflowPack()
    await setBackend('tensorflow')
  })

  it('starts as zeros, one cache apart from the other', async () => {
    const pack = await createTensorflowPack()
    const [first, second] = [pack.createKvStorage(layout), pack.createKvStorage(layout)]
    first.writeRows(0, Int32Array.of(5), new Float32Array(width).fill(3), new Float32Array(width).fill(4))
    expect(keysAt(first, [5, 4])).toEqual([...Array(width).fill(3), ...Array(width).fill(0)])
    expect(keysAt(second, [5])).toEqual(Array(width).fill(0))
    first.dispose()
    expect(keysAt(second, [5])).toEqual(Array(width).fill(0))
    second.dispose()
  })

  it('holds bfloat16 in half the bytes, rounded once', async () => {
    const pack = await createTensorflowPack({ dtype: 'bfloat16' })
    expect(pack.kvCacheDtypes[0]).toBe('bfloat16')
    const kv = pack.createKvStorage({ ...layout, dtype: 'bfloat16' })
    expect(kv.sizeInBytes).toBe((12 * kvBytesPerToken(layout)) / 2)
    expect(pack.usedBytes).toBe(kv.sizeInBytes)
    const random = new RandomData(60)
    const values = random.floats(width)
    const rows = tensor2d(values, [1, width])
    kvWrite(rows, rows, { kv, layer: 0, slotMapping: Int32Array.of(7) })
    const bits = new Uint32Array(Float32Array.from(keysAt(kv, [7])).buffer)
    expect([...bits].map((word) => word >>> 16)).toEqual([...values].map(float32ToBfloat16))
    kv.copyBlock(1, 2)
    expect(keysAt(kv, [11])).toEqual(keysAt(kv, [7]))
    rows.dispose()
    kv.dispose()
    expect(pack.usedBytes).toBe(0)
  })

  it('frees its variables', async () => {
    const pack = await createTensorflowPack()
    pack.createKvStorage(layout).dispose() // makes the scalar zero
    const before = testedBinding?.getNumOfTensors()
    const kv = pack.createKvStorage(layout)
    expect(testedBinding?.getNumOfTensors()).toBe((before ?? 0) + 2 * layout.numLayers)
    kv.dispose()
    kv.dispose()
    expect(testedBinding?.getNumOfTensors()).toBe(before)
  })
})
