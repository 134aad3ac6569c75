import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dequantizeRow, encodeRow } from './dequantize.ts'
import { allWeightFormats, rowBytes, weightFormats, type DType, type WeightFormat } from './dtype.ts'
import { float16Table, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from './narrow-floats.ts'

const ggufFolder = new URL('../../../../fixtures/gguf/', import.meta.url)

/** Of ggml's type, by its name. */
function formatOf(type: string): WeightFormat | undefined {
  const floats: Readonly<Record<string, WeightFormat>> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' }
  return floats[type] ?? allWeightFormats.find((format) => format === type.toLowerCase())
}

interface GoldenTensor {
  readonly name: string
  readonly type: string
  readonly shape: readonly number[]
  readonly offset: number
  readonly sha256_f32: string
  readonly first32: readonly number[]
}

interface GoldenFile {
  readonly file: string
  readonly tensors: readonly GoldenTensor[]
}

function sha256(values: Float32Array): string {
  return createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex')
}

describe('dequantizeRow', () => {
  const golden: { files: readonly GoldenFile[] } = JSON.parse(readFileSync(new URL('golden.json', ggufFolder), 'utf8'))

  it.each(golden.files.map((file) => [file.file, file] as const))(
    'gives the golden floats of %s bit for bit',
    (_, { file, tensors }) => {
      const bytes = readFileSync(new URL(file, ggufFolder))
      expect(tensors.length).toBeGreaterThan(10)
      for (const tensor of tensors) {
        const [cols = 1, rows = 1] = tensor.shape
        const format = formatOf(tensor.type)
        if (format === undefined) throw new Error(`${tensor.name} is ${tensor.type}`)
        const out = new Float32Array(rows * cols)
        for (let row = 0; row < rows; row++) {
          dequantizeRow(format, bytes, tensor.offset + row * rowBytes(format, cols), out.subarray(row * cols), cols)
        }
        expect(sha256(out), tensor.name).toBe(tensor.sha256_f32)
        expect([...out.subarray(0, 32)].map(Math.fround), tensor.name).toEqual(tensor.first32.map(Math.fround))
      }
    },
  )

  // The fixtures have no Q5_K tensor, so here are hashes of gguf-py 0.19.0's `dequantize` over pseudo-random blocks.
  it.each([
    ['q8_0', [1], '48e739c1a117eb6a33c3c50816f53523f301078cffb393218b273b061381251b'],
    ['q4_0', [1], '19c3fb2044d26ce4ee88dbf587b38f5c449acf63d4858c50b48e67396ac5f365'],
    ['q4_1', [1, 3], 'b1cd329861299146bdf698cc5aa0d39ddc5e5bd9bc426a596a6a563686fbdf7a'],
    ['q5_0', [1], 'd6349b7ec026f9acb620b783bec7baf8bd793dad3e0b6c6a86eb13c667cfb2e2'],
    ['q5_1', [1, 3], '66c4e3cfafb1120d7d3a7206f23e09e9ea49bf51af31a08885d7b60770dd6ce9'],
    ['q4_k', [1, 3], '1fcdec54c644252dd04942b194af9d2f839f0a3330fe4fd7df5b2f64a83332d2'],
    ['q5_k', [1, 3], '5437117cc90e37772d35056322c22d294f07f7b4dc448ef0a8f6b1602586b918'],
    ['q6_k', [209], 'd1c4d657676b78b9191df66f4cd7f48554738569b3f1e923f5c0efc4f6f8f23f'],
  ] as const)('agrees with the reference on random %s blocks', (format, scaleBytes, hash) => {
    const { blockBytes, blockElements } = weightFormats[format]
    const bytes = new Uint8Array(8 * blockBytes)
    let state = 1
    for (let i = 0; i < bytes.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      bytes[i] = state >>> 24
    }
    // Keeps the float16 scales finite.
    for (let block = 0; block < 8; block++) for (const at of scaleBytes) bytes[block * blockBytes + at]! &= 0xbb
    const out = new Float32Array(8 * blockElements)
    dequantizeRow(format, bytes, 0, out, out.length)
    expect(sha256(out)).toBe(hash)
  })

  it('refuses to read behind the bytes', () => {
    expect(() => dequantizeRow('q8_0', new Uint8Array(33), 0, new Float32Array(32), 32)).toThrow('ends behind')
    expect(() => dequantizeRow('float32', new Uint8Array(16), 4, new Float32Array(4), 4)).toThrow('ends behind')
    expect(() => dequantizeRow('float32', new Uint8Array(16), 0, new Float32Array(3), 4)).toThrow('does not fit')
  })
})

describe('float16 and bfloat16', () => {
  it('every float16 survives widening and narrowing', () => {
    for (let bits = 0; bits < 65536; bits++) {
      const value = float16ToFloat32(bits)
      expect(float16Table()[bits]).toEqual(value)
      if (!Number.isNaN(value)) expect(float32ToFloat16(value)).toBe(bits)
      else expect(float16ToFloat32(float32ToFloat16(value))).toBeNaN()
    }
  })

  it('every bfloat16 survives widening and narrowing', () => {
    const row = new Float32Array(1)
    for (let bits = 0; bits < 65536; bits++) {
      dequantizeRow('bfloat16', Uint8Array.of(bits, bits >>> 8), 0, row, 1)
      const value = row[0]!
      if (Number.isNaN(value)) expect((float32ToBfloat16(value) & 0x7fff) > 0x7f80).toBe(true)
      else expect(float32ToBfloat16(value)).toBe(bits)
    }
  })

  it.each([
    ['half way to the next: even stays', 1 + 2 ** -11, 0x3c00],
    ['half way to the next: odd moves up', 1 + 3 * 2 ** -11, 0x3c02],
    ['just above half way', 1 + 2 ** -11 + 2 ** -20, 0x3c01],
    ['largest that does not overflow', 65519.99, 0x7bff],
    ['rounds to infinity', 65520, 0x7c00],
    ['negative overflow', -1e30, 0xfc00],
    ['half of the smallest subnormal is even: zero', 2 ** -25, 0],
    ['above half of the smallest subnormal', 2 ** -25 * 1.01, 1],
    ['subnormal rounds up into the normals', 2 ** -14 - 2 ** -26, 0x0400],
    ['negative zero', -0, 0x8000],
  ])('float16: %s', (_, value, bits) => {
    expect(float32ToFloat16(value)).toBe(bits)
  })

  it('narrows to the nearest of the two neighbours, ties to even', () => {
    const table = float16Table()
    fc.assert(
      fc.property(fc.float({ noNaN: true, min: -70000, max: 70000 }), (value) => {
        const bits = float32ToFloat16(value)
        const chosen = Math.min(Math.abs(table[bits & 0x7fff]!), 65536)
        for (const other of [(bits & 0x7fff) - 1, (bits & 0x7fff) + 1]) {
          if (other < 0 || other > 0x7c00) continue
          const distance = Math.abs(Math.abs(value) - Math.min(table[other]!, 65536))
          const chosenDistance = Math.abs(Math.abs(value) - chosen)
          expect(chosenDistance).toBeLessThanOrEqual(distance)
          if (chosenDistance === distance) expect(bits & 1).toBe(0)
        }
      }),
    )
  })

  it('bfloat16 rounds ties to even and carries into the exponent', () => {
    expect(float32ToBfloat16(1 + 2 ** -8)).toBe(0x3f80)
    expect(float32ToBfloat16(1 + 3 * 2 ** -8)).toBe(0x3f82)
    expect(float32ToBfloat16(Math.fround(2 - 2 ** -20))).toBe(0x4000)
    expect(float32ToBfloat16(-Infinity)).toBe(0xff80)
  })
})

describe('encodeRow', () => {
  it.each<DType>(['float32', 'float16', 'bfloat16'])('writes %s that reads back', (dtype) => {
    const values = Float32Array.of(0.5, -1.25, 3, -0.0078125)
    const bytes = new Uint8Array(1 + rowBytes(dtype, values.length)) // at an odd offset
    encodeRow(dtype, values, bytes, 1)
    const read = new Float32Array(values.length)
    dequantizeRow(dtype, bytes, 1, read, values.length)
    expect(read).toEqual(values)
  })
})
