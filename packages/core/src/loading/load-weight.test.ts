import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { CheckpointError } from '../errors.ts'
import { encodeRow } from '../tensor/dequantize.ts'
import type { PackedWeight } from '../tensor/packed-weight.ts'
import { openGguf } from './gguf.ts'
import { canConcatenate, loadMatrix, loadVector, type LoadMatrixOptions } from './load-weight.ts'
import { openSafetensors } from './safetensors.ts'
import { float32Tensor, writeSafetensors } from './safetensors-file.case.ts'
import { requireWeight, weightCols, weightRows, type RowRange, type WeightSource } from './weight-source.ts'
import { WeightView } from './weight-view.ts'

const fixtures = fileURLToPath(new URL('../../../../fixtures/', import.meta.url))

let folder = ''
let source: WeightSource
let pack: BackendPack
const conv = Float32Array.from({ length: 6 }, (_, i) => i) // [in 2, out 3]

beforeAll(async () => {
  pack = await createCpuPack()
  folder = mkdtempSync(join(tmpdir(), 'octavo-load-'))
  const half = new Uint8Array(16)
  encodeRow('float16', Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8]), half, 0)
  writeSafetensors(join(folder, 'model.safetensors'), {
    q: float32Tensor([4, 2], [1, 2, 3, 4, 5, 6, 7, 8]),
    k: float32Tensor([2, 2], [9, 10, 11, 12]),
    half: { dtype: 'F16', shape: [4, 2], bytes: half },
    conv: float32Tensor([2, 3], conv),
    stack: float32Tensor(
      [2, 3, 2],
      Float32Array.from({ length: 12 }, (_, i) => i),
    ),
    wide: float32Tensor(
      [5, 3],
      Float32Array.from({ length: 15 }, (_, i) => i),
    ),
    bias: float32Tensor([3], [1, 2, 3]),
    large: float32Tensor([1, 2], [1, -70000]),
  })
  source = openSafetensors(folder)
})
afterAll(() => {
  source.close()
  rmSync(folder, { recursive: true })
})

function rowsOf(weight: PackedWeight): number[][] {
  const rows = Array.from({ length: weight.rows }, (_, row) => {
    const out = new Float32Array(weight.cols)
    weight.readRow(row, out)
    return [...out]
  })
  weight.dispose()
  return rows
}

function load(options: Omit<LoadMatrixOptions, 'dtype'> & Partial<LoadMatrixOptions>): PackedWeight {
  return loadMatrix(source, pack, { dtype: 'auto', ...options })
}

/** All matrices are stored `[in, out]`. */
function turned(plain: WeightSource): WeightSource {
  return new WeightView(plain, { rename: (name) => name, isInOut: () => true })
}

function rowRanges(order: readonly number[]): RowRange[] {
  return order.map((row) => ({ start: row, end: row + 1 }))
}

describe('loadMatrix', () => {
  it('concatenates rows in their stored format', () => {
    const weight = load({ names: ['q', 'k'], expectedShape: [6, 2] })
    expect(weight.format).toBe('float32')
    expect(rowsOf(weight)).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
      [7, 8],
      [9, 10],
      [11, 12],
    ])
    expect(load({ names: ['half'], expectedShape: [4, 2] }).format).toBe('float16')
  })

  it('keeps a range, or any order, of the concatenation', () => {
    expect(rowsOf(load({ names: ['q', 'k'], expectedShape: [6, 2], rows: [{ start: 3, end: 5 }] }))).toEqual([
      [7, 8],
      [9, 10],
    ])
    const rows = rowRanges([5, 0, 1, 0, 4])
    expect(rowsOf(load({ names: ['q', 'k'], expectedShape: [6, 2], rows }))).toEqual([
      [11, 12],
      [1, 2],
      [3, 4],
      [1, 2],
      [9, 10],
    ])
  })

  it('converts to the dtype asked for, parts of different formats too', () => {
    const weight = load({
      names: ['q', 'half'],
      expectedShape: [8, 2],
      dtype: 'bfloat16',
      rows: [{ start: 3, end: 6 }],
    })
    expect(weight.format).toBe('bfloat16')
    expect(rowsOf(weight)).toEqual([
      [7, 8],
      [1, 2],
      [3, 4],
    ])
    expect(canConcatenate(source, ['q', 'half'])).toBe(false)
    expect(() => load({ names: ['q', 'half'], expectedShape: [8, 2] })).toThrow(
      'parts in float32 and float16 become one',
    )
  })

  it('transposes, selects and reorders what is stored as [in, out]', () => {
    const loadTurned = (options: Parameters<typeof load>[0]): PackedWeight =>
      loadMatrix(turned(source), pack, { dtype: 'auto', ...options })
    expect(rowsOf(loadTurned({ names: ['conv'], expectedShape: [3, 2] }))).toEqual([
      [0, 3],
      [1, 4],
      [2, 5],
    ])
    const options = { names: ['conv', 'conv'], expectedShape: [6, 2] } as const
    expect(rowsOf(loadTurned({ ...options, rows: rowRanges([5, 1, 2]) }))).toEqual([
      [2, 5],
      [1, 4],
      [2, 5],
    ])
    expect(rowsOf(loadTurned({ ...options, dtype: 'float16', rows: [{ start: 2, end: 4 }] }))).toEqual([
      [2, 5],
      [0, 3],
    ])
    expect(() => loadTurned({ names: ['conv'], expectedShape: [2, 3] })).toThrow(
      /expected shape \[3, 2\], found \[2, 3\]/,
    )
  })

  it('takes rows of a stack as those of one matrix', () => {
    expect(rowsOf(load({ names: ['stack'], expectedShape: [6, 2], rows: [{ start: 5, end: 6 }] }))).toEqual([[10, 11]])
  })

  it.each<{ what: string; options: LoadMatrixOptions; of: 'plain' | 'turned' | 'gguf' }>([
    { what: 'plain rows', of: 'plain', options: { names: ['q', 'k'], expectedShape: [6, 2], dtype: 'auto' } },
    {
      what: 'converted rows',
      of: 'plain',
      options: { names: ['q', 'half'], expectedShape: [8, 2], dtype: 'bfloat16' },
    },
    { what: 'rows stored [in, out]', of: 'turned', options: { names: ['wide'], expectedShape: [3, 5], dtype: 'auto' } },
    {
      what: 'such rows converted',
      of: 'turned',
      options: { names: ['wide'], expectedShape: [3, 5], dtype: 'float16' },
    },
    {
      what: 'blocks made floats',
      of: 'gguf',
      options: { names: ['model.layers.0.mlp.down_proj.weight'], expectedShape: [64, 128], dtype: 'float32' },
    },
  ])('keeps any columns of any rows: $what', ({ options, of }) => {
    const gguf = openGguf(join(fixtures, 'gguf/llama-q4_0.gguf')).weights
    const from = { plain: source, turned: turned(source), gguf }[of]
    const [numRows, numCols] = options.expectedShape
    const whole = rowsOf(loadMatrix(from, pack, options))
    fc.assert(
      fc.property(
        fc.array(fc.nat(numRows - 1), { minLength: 1, maxLength: 9 }),
        fc.nat(numCols - 1),
        fc.nat(numCols - 1),
        (order, a, b) => {
          const cols = { start: Math.min(a, b), end: Math.max(a, b) + 1 }
          const some = loadMatrix(from, pack, { ...options, rows: rowRanges(order), cols })
          expect(rowsOf(some)).toEqual(order.map((row) => whole[row]!.slice(cols.start, cols.end)))
        },
      ),
      { numRuns: 30 },
    )
    gguf.close()
  })

  it('keeps whole blocks of columns, and refuses to cut them', () => {
    const { weights } = openGguf(join(fixtures, 'gguf/llama-q4_0.gguf'))
    const options = { names: ['model.layers.0.mlp.down_proj.weight'], expectedShape: [64, 128], dtype: 'auto' } as const
    const whole = rowsOf(loadMatrix(weights, pack, options))
    const some = loadMatrix(weights, pack, { ...options, cols: { start: 32, end: 96 } })
    expect(some.format).toBe('q4_0')
    expect(rowsOf(some)).toEqual(whole.map((row) => row.slice(32, 96)))
    const cut = (): unknown => loadMatrix(weights, pack, { ...options, cols: { start: 0, end: 40 } })
    expect(cut).toThrow(CheckpointError)
    expect(cut).toThrow('columns 0..40 cut through blocks of 32')
    weights.close()
  })

  it('reads no more of what is stored [in, out] than its columns', () => {
    const read: (RowRange | undefined)[] = []
    const counted: WeightSource = {
      file: source.file,
      names: () => source.names(),
      get: (name) => source.get(name),
      read: (name, bytes, rows) => {
        read.push(rows)
        source.read(name, bytes, rows)
      },
      locate: () => null,
      readFloat32: (name, rows) => source.readFloat32(name, rows),
      raw: (name) => source.raw(name),
      close: () => {},
    }
    const cols = { start: 1, end: 4 }
    loadMatrix(turned(counted), pack, { names: ['wide'], expectedShape: [3, 5], dtype: 'auto', cols }).dispose()
    expect(read).toEqual([cols])
  })

  it('reads matrices larger than its scratch', () => {
    const values = Float32Array.from({ length: 3000 * 1024 }, (_, i) => i % 4096)
    writeSafetensors(join(folder, 'big.safetensors'), { big: float32Tensor([3000, 1024], values) })
    const big = openSafetensors(join(folder, 'big.safetensors'))
    const weight = loadMatrix(big, pack, { names: ['big'], dtype: 'float16', expectedShape: [3000, 1024] })
    const row = new Float32Array(1024)
    const out = new Float32Array(3000)
    const transposed = loadMatrix(turned(big), pack, { names: ['big'], dtype: 'auto', expectedShape: [1024, 3000] })
    for (const i of [0, 1023, 1024, 2999]) {
      weight.readRow(i, row)
      // float16 has 11 bits: odd numbers above 2048 round.
      expect(row.every((value, j) => Math.abs(value - (values[i * 1024 + j] ?? 0)) <= 1)).toBe(true)
    }
    for (const j of [0, 511, 1023]) {
      transposed.readRow(j, out)
      expect(out.every((value, i) => value === values[i * 1024 + j])).toBe(true)
    }
    weight.dispose()
    transposed.dispose()
    big.close()
  })

  it('loads GGUF rows as blocks, in Hugging Face order, whatever the pieces', () => {
    const { weights } = openGguf(join(fixtures, 'gguf/llama-q4_0.gguf'))
    const names = ['q', 'k', 'v'].map((part) => `model.layers.1.self_attn.${part}_proj.weight`)
    const expected = names.flatMap((name) => {
      const info = requireWeight(weights, name)
      const cols = weightCols(info)
      const values = weights.readFloat32(name)
      return Array.from({ length: weightRows(info) }, (_, i) => [...values.subarray(i * cols, (i + 1) * cols)])
    })
    expect(canConcatenate(weights, names)).toBe(true)
    fc.assert(
      fc.property(fc.array(fc.nat(127), { minLength: 1, maxLength: 12 }), (order) => {
        const options = { names, dtype: 'auto', expectedShape: [128, 64], rows: rowRanges(order) } as const
        const weight = loadMatrix(weights, pack, options)
        expect(weight.format).toBe('q4_0')
        expect(rowsOf(weight)).toEqual(order.map((row) => expected[row]))
      }),
      { numRuns: 30 },
    )
    weights.close()
  })

  it.each<[string, Omit<LoadMatrixOptions, 'dtype'> & Partial<LoadMatrixOptions>, RegExp]>([
    ['a missing tensor', { names: ['q', 'v'], expectedShape: [6, 2] }, /"v": missing among 8 tensors/],
    [
      'a wrong number of rows',
      { names: ['q', 'k'], expectedShape: [8, 2] },
      /"q" \+ "k": expected shape \[8, 2\], found \[4, 2\] \+ \[2, 2\]/,
    ],
    ['wrong columns', { names: ['q'], expectedShape: [2, 4] }, /"q": expected shape \[2, 4\], found \[4, 2\]/],
    [
      'a value beyond float16',
      { names: ['large'], expectedShape: [1, 2], dtype: 'float16' },
      /-70000 exceeds float16's largest.*bfloat16/,
    ],
  ])('refuses %s', (_, options, message) => {
    expect(() => load(options)).toThrow(CheckpointError)
    expect(() => load(options)).toThrow(message)
  })
})

describe('GPT-2 Conv1D weights', () => {
  it('come out as [out, in] from both kinds of checkpoint', () => {
    const safetensors = openSafetensors(join(fixtures, 'models/gpt2'))
    const name = 'h.0.mlp.c_fc.weight'
    const [inFeatures = 0, outFeatures = 0] = requireWeight(safetensors, name).shape
    const options = {
      names: [name],
      dtype: 'float32',
      expectedShape: [outFeatures, inFeatures],
    } as const
    const rows = rowsOf(loadMatrix(turned(safetensors), pack, options))
    const stored = safetensors.readFloat32(name)
    safetensors.close()
    const path = join(folder, 'turned.safetensors')
    writeSafetensors(path, { [name]: float32Tensor([outFeatures, inFeatures], rows.flat()) })
    const plain = openSafetensors(path)
    const gguf: WeightSource = {
      file: plain.file,
      names: () => plain.names(),
      get: (key) => ({ ...requireWeight(plain, key), orientation: 'out-in' }),
      read: (...args) => plain.read(...args),
      locate: (...args) => plain.locate(...args),
      readFloat32: (...args) => plain.readFloat32(...args),
      raw: (key) => plain.raw(key),
      close: () => plain.close(),
    }
    expect(rowsOf(loadMatrix(turned(gguf), pack, options))).toEqual(rows)
    expect(rows[1]?.[2]).toBe(stored[2 * outFeatures + 1])
    plain.close()
  })

  it('can only be transposed from a dense format', () => {
    const { weights } = openGguf(join(fixtures, 'gguf/llama-q8_0.gguf'))
    const options = { names: ['lm_head.weight'], dtype: 'auto', expectedShape: [64, 640] } as const
    expect(() => loadMatrix(turned(weights), pack, options)).toThrow(/stored as q8_0 blocks can't be transposed/)
    weights.close()
  })
})

describe('loadVector', () => {
  it('gives float32 and checks the length', () => {
    expect([...loadVector(source, 'bias', 3)]).toEqual([1, 2, 3])
    expect(() => loadVector(source, 'bias', 4)).toThrow(/"bias": expected shape \[4\], found \[3\]/)
    expect(() => loadVector(source, 'q', 8)).toThrow(/"q": expected shape \[8\], found \[4, 2\]/)
    expect(() => loadVector(source, 'model.bias', 3)).toThrow(/missing among 8 tensors \(there is "bias"\)/)
  })
})
