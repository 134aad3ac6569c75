import { setBackend } from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { embedding, embeddingComposite } from '../../ops/embedding.ts'
import { expectClose, expectSameBits, take } from '../../ops/expectations.case.ts'
import { linear, linearComposite } from '../../ops/linear.ts'
import { RandomData } from '../../ops/random-data.case.ts'
import { dequantizeRow } from '../../tensor/dequantize.ts'
import { allWeightFormats, isDense, rowBytes, weightFormats } from '../../tensor/dtype.ts'
import type { BackendPack } from '../backend-pack.ts'
import { skipReason, testedBinding } from './tensorflow-available.case.ts'
import { createTensorflowPack } from './tensorflow-pack.ts'

describe.skipIf(skipReason !== null)('packed weights in TensorFlow', () => {
  let pack: BackendPack

  beforeAll(async () => {
    pack = await createTensorflowPack()
    await setBackend('tensorflow')
  })

  it.each(allWeightFormats)('read as the reference does, whatever the bytes, in %s', (format) => {
    const random = new RandomData(3)
    const cols = 8 * weightFormats[format].blockElements
    const [actual, expected] = [new Float32Array(cols), new Float32Array(cols)]
    for (let round = 0; round < 40; round++) {
      const stored = Uint8Array.from({ length: 2 * rowBytes(format, cols) }, () => random.integer(0, 255))
      const weight = pack.packWeight({ format, rows: 2, cols }, (bytes) => bytes.set(stored))
      weight.readRow(1, actual)
      dequantizeRow(format, stored, rowBytes(format, cols), expected, cols)
      // NaN equals NaN whatever its payload; scales of any bits give infinities too.
      expect(actual.findIndex((value, i) => value !== expected[i] && !Number.isNaN(expected[i]))).toBe(-1)
      weight.dispose()
    }
  })

  it.each(allWeightFormats)('look up the same rows before and after a product in %s', (format) => {
    const random = new RandomData(4)
    const cols = weightFormats[format].blockElements * 2
    const weight = random.weight(pack, format, [9, cols])
    const ids = Int32Array.of(8, 0, 3)
    const expected = take(embeddingComposite({ ids, weight }))
    const x = random.matrix(2, cols)
    linear(x, weight, null).dispose()
    expectSameBits(take(embeddingComposite({ ids, weight })), expected, 'rows')
    expectSameBits(take(embedding(ids, weight)), expected, 'looked up')
    expectClose(linear(x, weight, null), linearComposite(x, weight, null), 5e-5)
    x.dispose()
    weight.dispose()
  })

  // 64 rows of these are widened at once.
  it.each(['bfloat16', 'q8_0', 'q4_k'] as const)('are widened piece by piece in %s', (format) => {
    const random = new RandomData(5)
    const cols = 2 ** 16
    const weight = random.weight(pack, format, [67, cols])
    const x = random.matrix(2, cols)
    expectClose(linear(x, weight, null), linearComposite(x, weight, null), 5e-5)
    for (const owned of [weight, x]) owned.dispose()
  })

  it('take as many bytes as they are stored in, and free them', () => {
    const random = new RandomData(6)
    for (const format of allWeightFormats) {
      const before = [pack.usedBytes, testedBinding?.getNumOfTensors()]
      const weight = random.weight(pack, format, [4, 512])
      expect(pack.usedBytes - (before[0] ?? 0)).toBe(4 * rowBytes(format, 512))
      // A dense matrix is one handle, blocks are one for each of their fields.
      const handles = (testedBinding?.getNumOfTensors() ?? 0) - (before[1] ?? 0)
      expect(isDense(format) ? handles === 1 : handles >= 2 && handles <= 5, format).toBe(true)
      weight.dispose()
      weight.dispose()
      expect([pack.usedBytes, testedBinding?.getNumOfTensors()]).toEqual(before)
    }
  })

  it('leave nothing when their fill fails', () => {
    const before = [pack.usedBytes, testedBinding?.getNumOfTensors()]
    const fail = (): unknown =>
      pack.packWeight({ format: 'q8_0', rows: 2, cols: 32 }, () => {
        throw new Error('the file ends here')
      })
    expect(fail).toThrow('the file ends here')
    expect([pack.usedBytes, testedBinding?.getNumOfTensors()]).toEqual(before)
  })
})
