import { describe, expect, it } from 'vitest'
import { UnsupportedModelError } from '../errors.ts'
import { codeValues, createGroupedReader, planesOf } from './grouped-format.ts'
import type { GroupedFormat } from './grouped-format.ts'
import { weightBytes } from './packed-weight.ts'

const int4: GroupedFormat = {
  kind: 'grouped',
  bits: 4,
  codebook: 'integers',
  groupSize: 4,
  scaleDtype: 'float32',
  hasZeros: true,
  hasOrder: true,
}

function rowsOf(spec: Parameters<typeof createGroupedReader>[0], bytes: Uint8Array): number[][] {
  const read = createGroupedReader(spec, bytes)
  return Array.from({ length: spec.rows }, (_, row) => {
    const out = new Float32Array(spec.cols)
    read(row, out)
    return [...out]
  })
}

describe('a grouped weight', () => {
  it('has its planes one behind the other, and their values by the formula', () => {
    const spec = { format: int4, rows: 2, cols: 6 }
    const planes = planesOf(spec)
    expect(planes).toEqual({
      codes: { offset: 0, sizeInBytes: 8, stride: 4 },
      order: { offset: 8, sizeInBytes: 24, stride: 24 },
      scales: { offset: 32, sizeInBytes: 16, stride: 8 },
      zeros: { offset: 48, sizeInBytes: 4, stride: 2 },
      sizeInBytes: 52,
    })
    expect(weightBytes(spec)).toBe(52)
    const bytes = new Uint8Array(52)
    // Codes 1 … 6, then 15, 0, 15, 0, 15, 0: the low nibble comes first.
    bytes.set([0x21, 0x43, 0x65, 0xff, 0x0f, 0x0f, 0x0f, 0xff], 0)
    bytes.set(new Uint8Array(Int32Array.of(0, 1, 0, 1, 0, 1).buffer), 8)
    bytes.set(new Uint8Array(Float32Array.of(1, 10, 0.5, -2).buffer), 32)
    bytes.set([1, 2, 15, 16], 48)
    expect(rowsOf(spec, bytes)).toEqual([
      [0, 0, 2, 20, 4, 40],
      [0, 32, 0, 32, 0, 32],
    ])
  })

  it('has codes that cross bytes and words, and a last group that is shorter', () => {
    const format: GroupedFormat = { ...int4, bits: 3, groupSize: 8, hasZeros: false, hasOrder: false }
    const spec = { format, rows: 1, cols: 12 }
    const codes = [0, 1, 2, 3, 4, 5, 6, 7, 7, 6, 5, 4]
    const stream = codes.reduce((sum, code, i) => sum | (BigInt(code) << BigInt(3 * i)), 0n)
    const bytes = new Uint8Array(weightBytes(spec))
    new DataView(bytes.buffer).setBigUint64(0, stream, true)
    bytes.set(new Uint8Array(Float32Array.of(1, 3).buffer), 8)
    expect(rowsOf(spec, bytes)).toEqual([[-4, -3, -2, -1, 0, 1, 2, 3, 9, 6, 3, 0]])
  })

  it('is rounded once, at the product', () => {
    const format: GroupedFormat = { ...int4, bits: 8, groupSize: 'channel', hasZeros: false, hasOrder: false }
    const spec = { format, rows: 1, cols: 256 }
    const bytes = new Uint8Array(weightBytes(spec))
    for (let i = 0; i < 256; i++) bytes[i] = i
    const scale = Math.fround(0.0123456789)
    bytes.set(new Uint8Array(Float32Array.of(scale).buffer), 256)
    expect(rowsOf(spec, bytes)[0]).toEqual(Array.from({ length: 256 }, (_, i) => Math.fround((i - 128) * scale)))
  })

  it('has a table as codes', () => {
    const values = [-1.125, -1, 0, 0.125]
    expect([...codeValues({ ...int4, bits: 2, codebook: values, hasZeros: false })]).toEqual(values)
  })

  it('has floats as codes', () => {
    const e2m1: GroupedFormat = { ...int4, codebook: 'e2m1', hasZeros: false }
    expect([...codeValues(e2m1)]).toEqual([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6])
    const e4m3 = codeValues({ ...e2m1, bits: 8, codebook: 'e4m3' })
    expect([0, 1, 7, 8, 56, 0x7e, 0x7f, 0xfe].map((code) => e4m3[code])).toEqual([
      0,
      2 ** -9,
      7 * 2 ** -9,
      2 ** -6,
      1,
      448,
      NaN,
      -448,
    ])
  })

  it.each([
    ['codes have 2 to 8 bits, not 9', { ...int4, bits: 9 }],
    ['codes have 2 to 8 bits, not 1', { ...int4, bits: 1 }],
    ['a group has 1 column or more, not 0', { ...int4, groupSize: 0 }],
    ['e4m3 has 8 bits, not 4', { ...int4, codebook: 'e4m3' as const, hasZeros: false }],
    ['only integers have zeros', { ...int4, codebook: 'e2m1' as const }],
    ['4 bits need a table of 16 values, not 3', { ...int4, codebook: [0, 1, 2], hasZeros: false }],
  ])('is refused where %s', (reason, format) => {
    const size = (): number => weightBytes({ format, rows: 2, cols: 8 })
    expect(size).toThrow(UnsupportedModelError)
    expect(size).toThrow(reason)
  })

  it('never reads a scale that is not there', () => {
    const spec = { format: int4, rows: 1, cols: 4 }
    const bytes = new Uint8Array(weightBytes(spec))
    bytes.set(new Uint8Array(Int32Array.of(0, 0, 1, 0).buffer), 4)
    expect(() => createGroupedReader(spec, bytes)).toThrow('a column of group 1, and there are 1')
  })
})
