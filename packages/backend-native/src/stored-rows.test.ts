import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { allWeightFormats, rowBytes, weightFormats } from '@octavo/core/backend'
import type { WeightFormat } from '@octavo/core/backend'
import { afterAll, describe, expect, it } from 'vitest'
import type { NativeAddon, NativeMatrix } from './native-addon.ts'
import { NativePackedWeight } from './native-packed-weight.ts'
import { testedAddon, testedIsas } from './tested-isas.case.ts'

function randomBytes(length: number, seed: number): Uint8Array {
  let state = seed + 1
  return Uint8Array.from({ length }, () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24)
}

/** Every row's bits, so that infinities, NaN and the sign of zero count too. */
function bitsOf(matrix: Pick<NativeMatrix, 'readRow'>, rows: number, cols: number): Uint32Array {
  const values = new Float32Array(rows * cols)
  for (let row = 0; row < rows; row++) matrix.readRow(row, values.subarray(row * cols, (row + 1) * cols))
  return new Uint32Array(values.buffer)
}

describe.skipIf(testedAddon === null)('a matrix of stored rows', () => {
  const addon = testedAddon as NativeAddon
  const pool = new addon.Pool(2)
  const folder = mkdtempSync(path.join(tmpdir(), 'octavo-rows-'))
  const open: number[] = []
  afterAll(() => {
    for (const fd of open) closeSync(fd)
    addon.setIsa(addon.bestIsa())
    pool.dispose()
    rmSync(folder, { recursive: true })
  })

  function file(bytes: Uint8Array): number {
    const name = path.join(folder, String(open.length))
    writeFileSync(name, bytes)
    const fd = openSync(name, 'r+')
    open.push(fd)
    return fd
  }

  // Panels hold 8, 16 or 32 rows, steps 32 columns; some matrices end in the midst of both.
  const shapes = (format: WeightFormat): [rows: number, cols: number][] => {
    const block = weightFormats[format].blockElements
    const narrow: [number, number][] = [1, 15, 16, 17, 33, 64].map((rows) => [rows, block])
    const wide: [number, number][] = block === 1 ? [[3, 37], [40, 95], [33, 98]] : [[19, 5 * block], [48, 2 * block]] // prettier-ignore
    return [...narrow, ...wide, [1030, 3 * block]]
  }

  it.each(allWeightFormats)('%s is the same on every instruction set, from an array and from a file', (format) => {
    for (const [rows, cols] of shapes(format)) {
      const bytes = randomBytes(rows * rowBytes(format, cols), rows + cols)
      // Finite, as AMX leaves matrices with other values to AVX-512.
      if (format === 'float16' || format === 'bfloat16') for (let i = 1; i < bytes.length; i += 2) bytes[i]! &= 0xbf
      // At no round position: rows of a file are seldom aligned.
      const fd = file(Buffer.concat([randomBytes(4099, 1), bytes]))
      const make = (stored: boolean): Uint32Array => {
        const weight = new NativePackedWeight(
          { format, rows, cols },
          {
            fill: (target) => target.set(bytes),
            stored: stored ? [{ file: 'rows', fd, position: 4099, stride: rowBytes(format, cols), count: rows }] : null,
          },
          { pool, activations: 'auto', isa: 'scalar', onDispose: () => {} },
        )
        const bits = bitsOf(weight, rows, cols)
        weight.dispose()
        return bits
      }
      addon.setIsa('scalar')
      const expected = make(false)
      for (const isa of testedIsas) {
        addon.setIsa(isa)
        expect(make(false), `${isa} [${rows}, ${cols}]`).toEqual(expected)
        expect(make(true), `${isa} [${rows}, ${cols}], from a file`).toEqual(expected)
      }
    }
  })

  it('joins runs of several files, spaced and in any order', () => {
    const [rows, cols] = [100, 7]
    const values = Float32Array.from({ length: rows * cols }, (_, i) => i)
    const bytes = new Uint8Array(values.buffer)
    const stride = cols * 4
    const [first, second] = [file(bytes), file(Buffer.concat([Buffer.alloc(20), bytes]))]
    const runs = [first, 0, 2 * stride, 50, second, 20 + 3 * stride, 2 * stride, 40, first, stride, stride, 1]
    const order = [
      ...Array.from({ length: 50 }, (_, i) => 2 * i),
      ...Array.from({ length: 40 }, (_, i) => 3 + 2 * i),
      1,
    ]
    const matrix = pool.readMatrix('float32', 91, cols, Float64Array.from(runs), 'float32')
    expect(matrix).not.toBeNull()
    if (matrix === null) return
    const out = new Float32Array(cols)
    order.forEach((stored, row) => {
      matrix.readRow(row, out)
      expect([...out]).toEqual([...values.subarray(stored * cols, (stored + 1) * cols)])
    })
  })

  it('is null where the rows are not in the file', () => {
    const fd = file(new Uint8Array(10 * 34))
    const map = (...runs: number[]): NativeMatrix | null =>
      pool.readMatrix('q8_0', 10, 32, Float64Array.from(runs), 'int8')
    expect(map(fd, 0, 34, 10)).not.toBeNull()
    expect(map(fd, 1, 34, 10)).toBeNull()
    expect(map(fd, 0, 35, 10)).toBeNull()
    expect(map(fd, 0, 33, 10)).toBeNull() // rows would overlap
    expect(map(fd, 2 ** 53, 34, 10)).toBeNull()
    expect(map(fd, 0, 2 ** 53, 10)).toBeNull()
    expect(map(2 ** 30, 0, 34, 10)).toBeNull() // no such descriptor
    const directory = openSync(folder, 'r')
    expect(map(directory, 0, 34, 10)).toBeNull()
    closeSync(directory)
    ftruncateSync(fd, 9 * 34)
    expect(map(fd, 0, 34, 10)).toBeNull()
    expect(map(fd, 0, 34, 9, fd, 0, 34, 1)).not.toBeNull()
  })

  it('refuses runs that make no sense', () => {
    const fd = file(new Uint8Array(10 * 34))
    const map = (...runs: number[]): unknown => pool.readMatrix('q8_0', 10, 32, Float64Array.from(runs), 'int8')
    for (const runs of [[], [fd, 0, 34], [fd, 0, 34, 9], [fd, 0, 34, 10, fd, 0, 34, 10]])
      expect(() => map(...runs)).toThrow(/add up to the rows/)
    for (const bad of [-1, NaN, Infinity]) {
      expect(() => map(bad, 0, 34, 10)).toThrow(RangeError)
      expect(() => map(fd, bad, 34, 10)).toThrow(RangeError)
      expect(() => map(fd, 0, 34, bad)).toThrow(RangeError)
    }
    expect(() => map(2 ** 40, 0, 34, 10)).toThrow(RangeError)
    const runs: unknown = new Float32Array(4)
    expect(() => Reflect.apply(pool.readMatrix, pool, ['q8_0', 10, 32, runs, 'int8'])).toThrow(/Float64Array/)
  })

  it('reads through `fill` what is not in its file, and passes on what that throws', () => {
    const fd = file(new Uint8Array(100))
    const stored = [{ file: 'rows', fd, position: 0, stride: 34, count: 10 }]
    const options = { pool, activations: 'auto', isa: 'scalar', onDispose: () => {} } as const
    const spec = { format: 'q8_0', rows: 10, cols: 32 } as const
    const fill = (bytes: Uint8Array): void => {
      for (let block = 0; block < bytes.length; block += 34) bytes.set([0, 0x3c], block) // a scale of one
      bytes[36] = 5
    }
    const weight = new NativePackedWeight(spec, { fill, stored }, options)
    const row = new Float32Array(32)
    weight.readRow(1, row)
    expect([...row.subarray(0, 2)]).toEqual([5, 0])
    weight.dispose()
    weight.dispose()
    const failing = (): void => {
      throw new RangeError('the file has become shorter')
    }
    expect(() => new NativePackedWeight(spec, { fill: failing, stored }, options)).toThrow('has become shorter')
  })

  it('needs its file no more once it is packed', () => {
    const bytes = randomBytes(64 * 34, 3)
    const name = path.join(folder, 'gone')
    writeFileSync(name, bytes)
    const fd = openSync(name, 'r+')
    const matrix = pool.readMatrix('q8_0', 64, 32, Float64Array.from([fd, 0, 34, 64]), 'int8')
    ftruncateSync(fd, 0)
    closeSync(fd)
    unlinkSync(name)
    const expected = pool.createMatrix('q8_0', 64, 32, bytes, 'int8')
    expect(matrix && bitsOf(matrix, 64, 32)).toEqual(bitsOf(expected, 64, 32))
  })
})
