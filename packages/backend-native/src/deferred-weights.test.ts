import {
  closeSync,
  ftruncateSync,
  futimesSync,
  mkdtempSync,
  openSync,
  rmSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { allWeightFormats, CheckpointError, planesOf, rowBytes } from '@octavo/core/backend'
import type { GroupedFormat, WeightFormat } from '@octavo/core/backend'
import { RandomData } from '@octavo/core/testing'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { base, randomPlanes } from './grouped-weight.case.ts'
import type { NativeAddon, NativePool } from './native-addon.ts'
import { NativePackedWeight } from './native-packed-weight.ts'
import type { PackingTime } from './packing-time.ts'
import { testedAddon } from './tested-isas.case.ts'

interface Spec {
  readonly format: WeightFormat
  readonly rows: number
  readonly cols: number
}

const small: Spec = { format: 'q8_0', rows: 40, cols: 64 }
/** Takes some tens of milliseconds to pack. */
const large: Spec = { format: 'q8_0', rows: 16_384, cols: 2048 }

/** Stored rows whose halves are finite: scales, and values of 16 bits. */
function storedBytes({ format, rows, cols }: Spec, seed: number): Uint8Array {
  let state = seed + 1
  const bytes = new Uint8Array(rows * rowBytes(format, cols))
  for (let i = 0; i < bytes.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[i] = (state >>> 24) & 0xbf
  }
  return bytes
}

describe.skipIf(testedAddon === null)('a deferred weight', () => {
  const addon = testedAddon as NativeAddon
  const isa = addon?.isa()
  let pool: NativePool = new addon.Pool(2)
  const folder = mkdtempSync(path.join(tmpdir(), 'octavo-deferred-'))
  let numFiles = 0
  const opened: { dispose(): void }[] = []
  afterEach(() => {
    for (const weight of opened.splice(0)) weight.dispose()
  })
  afterAll(() => {
    pool.dispose()
    rmSync(folder, { recursive: true })
  })

  function file(bytes: Uint8Array): { name: string; fd: number } {
    const name = path.join(folder, `weights-${numFiles++}`)
    writeFileSync(name, bytes)
    return { name, fd: openSync(name, 'r+') }
  }

  function load(spec: Spec, { name, fd }: { name: string; fd: number }, packing: PackingTime): NativePackedWeight {
    const stored = [{ file: name, fd, position: 0, stride: rowBytes(spec.format, spec.cols), count: spec.rows }]
    const fill = (): never => {
      throw new Error('the file can be mapped')
    }
    const options = {
      get pool() {
        return pool
      },
      activations: 'auto' as const,
      isa,
      packing,
      onDispose: () => {},
    }
    const weight = new NativePackedWeight(spec, { fill, stored }, options)
    opened.push(weight)
    return weight
  }

  /** Every row's bits. */
  function rowsOf(weight: NativePackedWeight): Uint32Array {
    const values = new Float32Array(weight.rows * weight.cols)
    for (let row = 0; row < weight.rows; row++)
      weight.readRow(row, values.subarray(row * weight.cols, (row + 1) * weight.cols))
    return new Uint32Array(values.buffer)
  }

  /** x[3, cols] @ W^T, its bits. */
  function product(weight: NativePackedWeight): Uint32Array {
    const y = new Float32Array(3 * weight.rows)
    pool.linear(weight.matrix, y, new RandomData(7).floats(3 * weight.cols), 3, null)
    return new Uint32Array(y.buffer)
  }

  const isPacked = async (): Promise<void> => expect.poll(() => pool.pendingBytes, { timeout: 20_000 }).toBe(0)

  it.each(allWeightFormats)('of %s gives the bits of one that is packed at load', async (format) => {
    const spec = { format, rows: 70, cols: 512 }
    const source = file(storedBytes(spec, 5))
    const expected = load(spec, source, 'at-load')
    const [onDemand, inBackground] = [load(spec, source, 'deferred'), load(spec, source, 'deferred')]
    closeSync(source.fd)
    unlinkSync(source.name)
    const ids = Int32Array.from([69, 0, 33, 33])
    const embedded = new Float32Array(ids.length * spec.cols)
    onDemand.readRows(ids, embedded)
    expect(product(onDemand)).toEqual(product(expected))
    await isPacked()
    expect(product(inBackground)).toEqual(product(expected))
    for (const weight of [onDemand, inBackground]) expect(rowsOf(weight)).toEqual(rowsOf(expected))
    const rows = new Float32Array(ids.length * spec.cols)
    expected.readRows(ids, rows)
    expect(new Uint32Array(embedded.buffer)).toEqual(new Uint32Array(rows.buffer))
  })

  const grouped: GroupedFormat = { ...base, groupSize: 128, hasZeros: true }
  it.each([
    ['int4 in groups', grouped],
    ['int8 per channel', { ...grouped, bits: 8, groupSize: 'channel', hasZeros: false }],
    ['codes that are widened', { ...grouped, groupSize: 16 }],
  ] as const)('of %s gives the bits of one that is filled', async (_, format) => {
    const spec = { format, rows: 70, cols: 512 }
    const planes = randomPlanes(spec, false)
    const source = file(planes)
    const layout = planesOf(spec)
    const stored = (['codes', 'scales', 'zeros'] as const).flatMap((plane) => {
      const place = layout[plane]
      if (place === null) return []
      // Two runs: the weights of two modules, one under the other.
      return [40, 30].map((count, i) => ({
        file: source.name,
        fd: source.fd,
        position: place.offset + i * 40 * place.stride,
        stride: place.stride,
        count,
        plane,
      }))
    })
    const options = { pool, activations: 'auto', isa, onDispose: () => {} } as const
    const filled = new NativePackedWeight(spec, { fill: (bytes) => bytes.set(planes), stored: null }, options)
    const fill = (): never => {
      throw new Error('all planes lie in the file')
    }
    const [atLoad, onDemand, inBackground] = (['at-load', 'deferred', 'deferred'] as const).map(
      (packing) => new NativePackedWeight(spec, { fill, stored }, { ...options, packing }),
    ) as [NativePackedWeight, NativePackedWeight, NativePackedWeight]
    opened.push(filled, atLoad, onDemand, inBackground)
    // A plane that lies in no file: all are filled.
    const partly = { fill: (bytes: Uint8Array) => bytes.set(planes), stored: stored.slice(0, 2) }
    opened.push(new NativePackedWeight(spec, partly, { ...options, packing: 'deferred' }))
    closeSync(source.fd)
    const [embedded, expected] = [new Float32Array(3 * 512), new Float32Array(3 * 512)]
    onDemand.readRows(Int32Array.of(69, 0, 33), embedded)
    filled.readRows(Int32Array.of(69, 0, 33), expected)
    expect(embedded).toEqual(expected)
    await isPacked()
    for (const weight of [atLoad, onDemand, inBackground, opened.at(-1) as NativePackedWeight]) {
      expect(product(weight)).toEqual(product(filled))
      expect(rowsOf(weight)).toEqual(rowsOf(filled))
    }
  })

  it('counts as pending until it is packed or disposed', async () => {
    const source = file(storedBytes(large, 1))
    const weights = Array.from({ length: 4 }, () => load(large, source, 'deferred'))
    closeSync(source.fd)
    // The background may have packed the first one or two by now, whatever the machine does meanwhile.
    expect(pool.pendingBytes % weights[0]!.sizeInBytes).toBe(0)
    for (const weight of weights) weight.dispose()
    expect(pool.pendingBytes).toBe(0)
    expect(() => weights[0]!.matrix).toThrow(/after dispose/)
  })

  it('may be disposed, or needed, while it is being packed', { timeout: 60_000 }, async () => {
    const source = file(storedBytes(large, 2))
    const expected = product(load(large, source, 'at-load'))
    for (let pauseMs = 40; pauseMs < 70; pauseMs += 5) {
      const [needed, gone, last] = [0, 1, 2].map(() => load(large, source, 'deferred'))
      await sleep(pauseMs)
      gone!.dispose()
      expect(product(needed!)).toEqual(expected)
      expect(product(last!)).toEqual(expected)
      needed!.dispose()
      last!.dispose()
    }
    closeSync(source.fd)
  })

  it('outlives its pool', async () => {
    const source = file(storedBytes(large, 3))
    const expected = product(load(large, source, 'at-load'))
    const weights = [0, 1, 2].map(() => load(large, source, 'deferred'))
    await sleep(55)
    pool.dispose()
    pool = new addon.Pool(3)
    for (const weight of weights) expect(product(weight)).toEqual(expected)
    closeSync(source.fd)
  })

  /** Unless the background is quicker, which is right, too, but not what is tested. */
  function expectRefused(change: (fd: number) => void): void {
    let numRefused = 0
    for (let attempt = 0; attempt < 20 && numRefused === 0; attempt++) {
      const source = file(storedBytes(small, attempt))
      const expected = product(load(small, source, 'at-load'))
      const weight = load(small, source, 'deferred')
      change(source.fd)
      const error = thrownBy(() => expect(product(weight)).toEqual(expected))
      if (error !== null) {
        expect(error).toBeInstanceOf(CheckpointError)
        expect(error).toMatchObject({ file: source.name })
        expect(String(error)).toMatch(/has changed since the model was loaded.*load the model again/)
        // As often as it is asked for.
        expect(() => weight.matrix).toThrow(CheckpointError)
        expect(() => weight.readRows(new Int32Array(1), new Float32Array(small.cols))).toThrow(CheckpointError)
        numRefused++
      }
      closeSync(source.fd)
    }
    expect(numRefused).toBe(1)
  }

  it('says so where its file was cut after it was loaded', () => {
    expectRefused((fd) => ftruncateSync(fd, 100))
    expectRefused((fd) => ftruncateSync(fd, 0))
  })

  it('says so where its file is cut while it is being packed, and the process lives', { timeout: 60_000 }, async () => {
    const bytes = storedBytes(large, 6)
    let numRefused = 0
    for (let pauseMs = 45; pauseMs < 75; pauseMs += 3) {
      const source = file(bytes)
      const weights = [0, 1].map(() => load(large, source, 'deferred'))
      await sleep(pauseMs)
      ftruncateSync(source.fd, 4096)
      for (const weight of weights) {
        const error = thrownBy(() => weight.matrix)
        if (error === null) continue
        expect(error).toBeInstanceOf(CheckpointError)
        numRefused++
      }
      closeSync(source.fd)
      for (const weight of weights) weight.dispose()
    }
    expect(numRefused).toBeGreaterThan(0)
  })

  it('says so where its file was written to after it was loaded', () => {
    expectRefused((fd) => {
      writeSync(fd, Uint8Array.of(1, 2, 3), 0, 3, 500)
      // Two writes within one tick of the file system's clock would look the same.
      futimesSync(fd, 1, 1)
    })
  })

  it('is not used before it is packed', () => {
    const source = file(storedBytes(small, 1))
    const matrix = pool.deferMatrix(
      'q8_0',
      small.rows,
      small.cols,
      Float64Array.of(source.fd, 0, 68, small.rows),
      'float32',
    )
    closeSync(source.fd)
    expect(matrix).not.toBeNull()
    if (matrix === null) return
    opened.push(matrix)
    const row = new Float32Array(small.cols)
    expect(() => matrix.readRow(0, row)).toThrow(/before it was packed/)
    expect(matrix.bytes).toBeGreaterThanOrEqual(small.rows * 68)
    expect(pool.packMatrix(matrix)).toBe(true)
    expect(pool.packMatrix(matrix)).toBe(true)
    matrix.readRow(0, row)
    expect(row.some((value) => value !== 0)).toBe(true)
  })

  it('is null where the rows are not in the file', () => {
    const source = file(storedBytes(small, 1))
    const defer = (position: number, fd = source.fd) =>
      pool.deferMatrix('q8_0', small.rows, small.cols, Float64Array.of(fd, position, 68, small.rows), 'float32')
    expect(defer(1)).toBeNull()
    expect(defer(0, 2 ** 30)).toBeNull()
    closeSync(source.fd)
  })
})

describe.skipIf(testedAddon === null)('a weight that is packed at load', () => {
  it('needs its file no more', () => {
    const addon = testedAddon as NativeAddon
    const pool = new addon.Pool(2)
    const folder = mkdtempSync(path.join(tmpdir(), 'octavo-at-load-'))
    const name = path.join(folder, 'weights')
    writeFileSync(name, storedBytes(small, 4))
    const fd = openSync(name, 'r+')
    const stored = [{ file: name, fd, position: 0, stride: rowBytes(small.format, small.cols), count: small.rows }]
    const options = { pool, activations: 'auto', isa: addon.isa(), packing: 'at-load', onDispose: () => {} } as const
    const weight = new NativePackedWeight(small, { fill: () => {}, stored }, options)
    expect(pool.pendingBytes).toBe(0)
    ftruncateSync(fd, 0)
    closeSync(fd)
    const row = new Float32Array(small.cols)
    weight.readRow(0, row)
    expect(row.some((value) => value !== 0)).toBe(true)
    weight.dispose()
    pool.dispose()
    rmSync(folder, { recursive: true })
  })
})

function thrownBy(run: () => void): unknown {
  try {
    run()
    return null
  } catch (error) {
    return error
  }
}
