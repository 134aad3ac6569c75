import { mkdtempSync, readdirSync, readSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { CheckpointError } from '../errors.ts'
import { singleRank } from '../layers/communicator.ts'
import { WeightLoader } from '../layers/weight-loader.ts'
import { rowBytes } from '../tensor/dtype.ts'
import { weightBytes } from '../tensor/packed-weight.ts'
import type { StoredRows } from '../tensor/packed-weight.ts'
import { convertToGguf } from './gguf-conversion.case.ts'
import { openGguf } from './gguf.ts'
import { loadMatrix, type LoadMatrixOptions } from './load-weight.ts'
import { openSafetensors } from './safetensors.ts'
import { float32Tensor, writeSafetensors } from './safetensors-file.case.ts'
import { requireWeight, weightCols, weightRows, type RowRange, type WeightSource } from './weight-source.ts'
import { WeightView } from './weight-view.ts'

const fixtures = fileURLToPath(new URL('../../../../fixtures/', import.meta.url))

let folder = ''
let cpu: BackendPack
beforeAll(async () => {
  cpu = await createCpuPack()
  folder = mkdtempSync(join(tmpdir(), 'octavo-rows-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function readStored(stored: readonly StoredRows[], width: number): Uint8Array {
  const numRows = stored.reduce((sum, { count }) => sum + count, 0)
  const bytes = new Uint8Array(numRows * width)
  let to = 0
  for (const { fd, position, stride, count } of stored) {
    for (let row = 0; row < count; row++, to += width) {
      expect(readSync(fd, bytes, to, width, position + row * stride)).toBe(width)
    }
  }
  return bytes
}

/** How many of the source's tensors lie in the file as they are; all of them are compared with what `read` gives. */
function countLocated(source: WeightSource): number {
  let numLocated = 0
  for (const name of source.names()) {
    const info = requireWeight(source, name)
    const stride = rowBytes(info.format, weightCols(info))
    const rows = weightRows(info)
    const ranges: RowRange[] = [
      { start: 0, end: rows },
      { start: Math.floor(rows / 3), end: Math.ceil((2 * rows) / 3) },
      { start: rows - 1, end: rows },
    ]
    for (const range of ranges) {
      const located = source.locate(name, range)
      if (located === null) continue
      const expected = new Uint8Array((range.end - range.start) * stride)
      source.read(name, expected, range)
      expect(readStored(located, stride), `${name} ${range.start}..${range.end}`).toEqual(expected)
    }
    if (source.locate(name) !== null) numLocated++
  }
  return numLocated
}

describe('locate', () => {
  it.each(readdirSync(join(fixtures, 'gguf')).filter((name) => name.endsWith('.gguf')))(
    'finds the rows of %s where read does',
    (name) => {
      const { weights } = openGguf(join(fixtures, 'gguf', name))
      expect(countLocated(weights)).toBe(weights.names().length)
      weights.close()
    },
  )

  it('does not find norms that must be shifted', () => {
    const path = join(folder, 'gemma.gguf')
    writeFileSync(path, convertToGguf(join(fixtures, 'models/gemma2'), 'gemma2'))
    const { weights } = openGguf(path)
    const norms = weights.names().filter((name) => name.includes('norm'))
    expect(norms.length).toBeGreaterThan(0)
    expect(norms.map((name) => weights.locate(name))).toEqual(norms.map(() => null))
    expect(countLocated(weights)).toBe(weights.names().length - norms.length)
    weights.close()
  })

  it('finds all of safetensors', () => {
    const source = openSafetensors(join(fixtures, 'models/mixtral'))
    expect(countLocated(source)).toBe(source.names().length)
    source.close()
  })
})

describe('what packWeight is told of files', () => {
  let source: WeightSource
  beforeAll(() => {
    const values = (length: number): number[] => Array.from({ length }, (_, i) => i)
    writeSafetensors(join(folder, 'some.safetensors'), {
      q: float32Tensor([4, 2], values(8)),
      k: float32Tensor([2, 2], values(4)),
      stack: float32Tensor([2, 3, 2], values(12)),
    })
    source = openSafetensors(join(folder, 'some.safetensors'))
  })
  afterAll(() => source.close())

  /** A pack that checks both ways against each other, and keeps how many runs the file had. */
  function checkingPack(): { pack: BackendPack; numRuns: (number | null)[] } {
    const numRuns: (number | null)[] = []
    const packWeight: BackendPack['packWeight'] = (spec, fill, stored) => {
      numRuns.push(stored?.length ?? null)
      const checked = (bytes: Uint8Array): void => {
        fill(bytes)
        if (stored) expect(readStored(stored, weightBytes({ ...spec, rows: 1 }))).toEqual(bytes)
      }
      return cpu.packWeight(spec, checked)
    }
    return { pack: { ...cpu, packWeight }, numRuns }
  }

  function runsOf(options: Omit<LoadMatrixOptions, 'dtype'> & Partial<LoadMatrixOptions>): number | null | undefined {
    const { pack, numRuns } = checkingPack()
    loadMatrix(source, pack, { dtype: 'auto', ...options }).dispose()
    return numRuns[0]
  }

  it('is every run of rows that need no change', () => {
    expect(runsOf({ names: ['q'], expectedShape: [4, 2] })).toBe(1)
    expect(runsOf({ names: ['q', 'k'], expectedShape: [6, 2] })).toBe(2)
    expect(
      runsOf({
        names: ['q', 'k'],
        expectedShape: [6, 2],
        rows: [5, 0, 1, 3].map((row) => ({ start: row, end: row + 1 })),
      }),
    ).toBe(3)
    expect(runsOf({ names: ['q'], expectedShape: [4, 2], dtype: 'float32' })).toBe(1)
  })

  it('is nothing where rows are converted or transposed', () => {
    expect(runsOf({ names: ['q'], expectedShape: [4, 2], dtype: 'bfloat16' })).toBe(null)
    const { pack, numRuns } = checkingPack()
    const turned = new WeightView(source, { rename: (name) => name, isInOut: () => true })
    loadMatrix(turned, pack, { names: ['q'], expectedShape: [2, 4], dtype: 'auto' }).dispose()
    expect(numRuns).toEqual([null])
  })

  it('leaves out columns that a rank does not take', () => {
    const { pack, numRuns } = checkingPack()
    const loader = new WeightLoader({ source, pack, dtype: 'auto', communicator: singleRank })
    const weight = loader.matrix({ names: ['q'], expectedShape: [4, 2], cols: { start: 1, end: 2 } })
    const rows = Array.from({ length: 4 }, (_, row) => {
      const out = new Float32Array(1)
      weight.readRow(row, out)
      return out[0]
    })
    expect(rows).toEqual([1, 3, 5, 7])
    expect(numRuns).toEqual([1])
    loader.dispose()
  })

  it('still names the file when that has become shorter', () => {
    const path = join(folder, 'short.safetensors')
    writeSafetensors(path, { q: float32Tensor([4, 2], [1, 2, 3, 4, 5, 6, 7, 8]) })
    const short = openSafetensors(path)
    truncateSync(path, 100)
    const load = (): unknown => loadMatrix(short, cpu, { names: ['q'], expectedShape: [4, 2], dtype: 'auto' })
    expect(load).toThrow(CheckpointError)
    expect(load).toThrow(/short.safetensors: has become shorter/)
    short.close()
  })
})
