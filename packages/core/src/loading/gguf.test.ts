import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CheckpointError, OctavoError, UnsupportedModelError } from '../errors.ts'
import { ggufBytes, type WrittenGguf, type WrittenGgufTensor } from './gguf-file.case.ts'
import { loadableGgmlTypes } from './gguf-header.ts'
import { openGguf, openGgufFile } from './gguf.ts'
import { openSafetensors } from './safetensors.ts'
import { weightRows } from './weight-source.ts'

const fixtures = fileURLToPath(new URL('../../../../fixtures/', import.meta.url))

interface GoldenTensor {
  readonly name: string
  readonly type: string
  readonly shape: readonly number[]
  readonly nbytes: number
  readonly sha256_f32: string
  readonly first32: readonly number[]
}

interface GoldenFile {
  readonly file: string
  readonly metadata: Readonly<Record<string, unknown>>
  readonly tensors: readonly GoldenTensor[]
}

const golden: { files: readonly GoldenFile[] } = JSON.parse(readFileSync(join(fixtures, 'gguf/golden.json'), 'utf8'))

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'octavo-gguf-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function write(name: string, bytes: Uint8Array): string {
  const path = join(folder, name)
  writeFileSync(path, bytes)
  return path
}

function sha256(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}

describe('openGguf', () => {
  it('opens the same weights again, unless the file has changed', () => {
    const path = write('again.gguf', readFileSync(join(fixtures, 'gguf/llama-q8_0.gguf')))
    const { weights, reopen } = openGguf(path)
    const name = 'model.layers.0.self_attn.q_proj.weight'
    const expected = weights.readFloat32(name)
    weights.close()
    const again = reopen()
    expect(again.names()).toEqual(weights.names())
    expect(again.readFloat32(name)).toEqual(expected)
    again.close()
    truncateSync(path, 1000)
    expect(reopen).toThrow(CheckpointError)
    expect(reopen).toThrow(/has 1000 now; load it again/)
  })
})

describe('openGgufFile', () => {
  it.each(golden.files.map((file) => [file.file, file] as const))(
    'finds metadata and tensors of %s exactly',
    (name, file) => {
      const { metadata, stored } = openGgufFile(join(fixtures, 'gguf', name))
      for (const [key, expected] of Object.entries(file.metadata)) {
        if (key.startsWith('GGUF.')) continue
        const found = metadata[key]
        if (Array.isArray(found)) {
          const list: unknown[] = found
          const sha256_json = sha256(JSON.stringify(list))
          expect({ length: list.length, first: list.slice(0, 8), sha256_json }, key).toEqual(expected)
        } else expect(found, key).toEqual(expected)
      }
      expect(Object.keys(metadata).length).toBe(file.metadata['GGUF.kv_count'])
      expect(stored.names()).toEqual(file.tensors.map((tensor) => tensor.name))
      for (const tensor of file.tensors) {
        const info = stored.get(tensor.name)
        expect(info?.shape).toEqual(tensor.shape.toReversed())
        expect(info?.sizeInBytes).toBe(tensor.nbytes)
        const values = stored.readFloat32(tensor.name)
        expect(sha256(new Uint8Array(values.buffer)), tensor.name).toBe(tensor.sha256_f32)
      }
      stored.close()
    },
  )

  it.each([
    [9, 'Q8_1'],
    [11, 'Q3_K'],
    [20, 'IQ4_NL'],
    [39, 'MXFP4'],
  ] as const)('lists a tensor of type %i, %s, and gives it to a model only', (type, typeName) => {
    const tensors = [
      { name: 'a', type, shape: [256], bytes: new Uint8Array(512) },
      { name: 'b', type: 0, shape: [1], bytes: floatBytes([7]) },
    ]
    const { stored } = openGgufFile(write('types.gguf', ggufBytes({ metadata: {}, tensors })))
    expect(stored.names()).toEqual(['a', 'b'])
    expect(() => stored.get('a')).toThrow(CheckpointError)
    expect(() => stored.get('a')).toThrow(`"a": its type ${typeName} is read as a matrix of a model only`)
    expect([...stored.readFloat32('b')]).toEqual([7])
    stored.close()
  })

  it('refuses to compute with integers', () => {
    const tensors = [{ name: 'a', type: 26, shape: [8], bytes: new Uint8Array(32) }]
    const { stored } = openGgufFile(write('integers.gguf', ggufBytes({ metadata: {}, tensors })))
    const known = loadableGgmlTypes.join(', ')
    expect(() => stored.get('a')).toThrow(`"a": its type is I32, and only ${known} can be loaded`)
    stored.close()
  })

  it('gives the bytes of integers, and of blocks of any type', () => {
    const bytes = Uint8Array.from({ length: 34 }, (_, i) => i)
    const tensors = [
      { name: 'integers', type: 26, shape: [2, 4], bytes: bytes.subarray(0, 32) },
      { name: 'blocks', type: 8, shape: [32], bytes },
      { name: 'others', type: 20, shape: [32], bytes: bytes.subarray(0, 18) },
    ]
    const { stored } = openGgufFile(write('raw.gguf', ggufBytes({ metadata: {}, tensors })))
    const [integers, blocks] = [stored.raw('integers'), stored.raw('blocks')]
    expect(integers).toMatchObject({ dtype: 'int32', shape: [2, 4], sizeInBytes: 32 })
    expect(blocks).toMatchObject({ dtype: 'q8_0', shape: [32], sizeInBytes: 34 })
    const read = new Uint8Array(34)
    blocks?.read(read)
    expect(read).toEqual(bytes)
    expect(stored.raw('others')).toMatchObject({ dtype: 'iq4_nl', shape: [32], sizeInBytes: 18 })
    stored.close()
  })
})

describe('openGguf', () => {
  it('gives the weights of the checkpoint that llama-f32.gguf was made from, bit for bit', () => {
    const expected = openSafetensors(join(fixtures, 'models/llama'))
    const { weights } = openGguf(join(fixtures, 'gguf/llama-f32.gguf'))
    expect([...weights.names()].sort()).toEqual([...expected.names()].sort())
    for (const name of expected.names()) {
      expect(weights.get(name)?.shape, name).toEqual(expected.get(name)?.shape)
      expect(weights.readFloat32(name), name).toEqual(expected.readFloat32(name))
    }
    weights.close()
    expected.close()
  })

  it.each(['llama-f16', 'llama-q8_0', 'llama-q4_0', 'llama-mixed', 'llama256-q4_k', 'llama256-q6_k'])(
    'rows of %s can be read in any pieces',
    (name) => {
      const { weights, stored } = openGguf(join(fixtures, 'gguf', `${name}.gguf`))
      const query = 'model.layers.0.self_attn.q_proj.weight'
      const info = weights.get(query)
      if (info === null) throw new Error('no query')
      expect(info.format).toBe(stored.get('blk.0.attn_q.weight')?.format)
      const rows = weightRows(info)
      const whole = weights.readFloat32(query)
      const cols = whole.length / rows
      const headDim = rows / 4
      const original = stored.readFloat32('blk.0.attn_q.weight')
      // Rotary pair (1, 1 + half) of head 2 lies in rows 2 and 3 of that head.
      expect(whole.subarray((2 * headDim + 1) * cols, (2 * headDim + 2) * cols)).toEqual(
        original.subarray((2 * headDim + 2) * cols, (2 * headDim + 3) * cols),
      )
      fc.assert(
        fc.property(fc.nat(rows), fc.nat(rows), (a, b) => {
          const [start, end] = [Math.min(a, b), Math.max(a, b)]
          expect(weights.readFloat32(query, { start, end })).toEqual(whole.slice(start * cols, end * cols))
        }),
        { numRuns: 40 },
      )
      weights.close()
    },
  )

  it('refuses an architecture that it does not know, by name', () => {
    const path = write('unknown.gguf', ggufBytes({ metadata: { 'general.architecture': 'mamba' }, tensors: [] }))
    expect(() => openGguf(path)).toThrow(UnsupportedModelError)
    expect(() => openGguf(path)).toThrow(/"mamba" is not supported; supported are llama, qwen2/)
  })

  it('puts a split model together', () => {
    const tensor = (name: string, value: number) => ({ name, type: 0, shape: [1], bytes: floatBytes([value]) })
    const split = { 'split.count': 2, 'split.no': 0 }
    const first = write(
      'm-00001-of-00002.gguf',
      ggufBytes({ metadata: { 'general.architecture': 'llama', ...split }, tensors: [tensor('a', 1)] }),
    )
    expect(() => openGgufFile(first)).toThrow(/00002-of-00002.gguf: can't be opened/)
    const second = write(
      'm-00002-of-00002.gguf',
      ggufBytes({ metadata: { 'split.count': 2 }, tensors: [tensor('b', 2)] }),
    )
    const { stored } = openGgufFile(first)
    expect([...stored.readFloat32('a'), ...stored.readFloat32('b')]).toEqual([1, 2])
    stored.close()
    expect(() => openGgufFile(second)).toThrow(/is part 2 of 2; pass the first part/)
    writeFileSync(second, ggufBytes({ metadata: {}, tensors: [tensor('a', 2)] }))
    expect(() => openGgufFile(first)).toThrow(/also in another part/)
  })
})

function floatBytes(values: readonly number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer)
}

/** Metadata entries `a`, `b`, … that are arrays of so many u8 each. */
function manyArrays(count: number, length: number): Uint8Array {
  const head = Buffer.alloc(24)
  head.write('GGUF')
  head.writeUInt32LE(3, 4)
  head.writeUInt32LE(count, 16)
  const entries = Array.from({ length: count }, (_, i) => {
    const entry = Buffer.alloc(8 + 1 + 4 + 4 + 8 + length)
    entry.writeUInt32LE(1, 0)
    entry[8] = 97 + i
    entry.writeUInt32LE(9, 9)
    entry.writeUInt32LE(length, 17)
    return entry
  })
  return Buffer.concat([head, ...entries])
}

describe('malformed GGUF files', () => {
  const tensor: WrittenGgufTensor = { name: 'a', type: 0, shape: [2], bytes: floatBytes([1, 2]) }
  const plain: WrittenGguf = { metadata: { 'general.architecture': 'llama' }, tensors: [tensor] }

  function withBytes(file: WrittenGguf, change: (bytes: DataView) => void): Uint8Array {
    const bytes = Uint8Array.from(ggufBytes(file))
    change(new DataView(bytes.buffer))
    return bytes
  }

  it.each<[what: string, bytes: Uint8Array, message: RegExp]>([
    ['an empty file', new Uint8Array(0), /less than a GGUF header/],
    ['another magic', withBytes(plain, (v) => v.setUint32(0, 1)), /not a GGUF file/],
    ['version 1', withBytes(plain, (v) => v.setUint32(4, 1, true)), /is GGUF version 1/],
    ['big-endian', withBytes(plain, (v) => v.setUint32(4, 3, false)), /big-endian/],
    ['2^63 tensors', withBytes(plain, (v) => v.setUint32(12, 0x80000000, true)), /tensor count is \d+; the limit/],
    ['2^32 metadata entries', withBytes(plain, (v) => v.setUint32(20, 1, true)), /metadata count is \d+; the limit/],
    [
      'a key of 2^40 bytes',
      withBytes(plain, (v) => v.setUint32(28, 256, true)),
      /length of a metadata key is \d+; the limit/,
    ],
    ['a key that runs past the end', withBytes(plain, (v) => v.setUint32(24, 60_000, true)), /ends inside its header/],
    ['an unknown value type', withBytes(plain, (v) => v.setUint32(52, 99, true)), /unknown type 99/],
    ['an unknown tensor type', ggufBytes({ ...plain, tensors: [{ ...tensor, type: 4 }] }), /"a": unknown ggml type 4/],
    ['rank 5', ggufBytes({ ...plain, tensors: [{ ...tensor, shape: [1, 1, 1, 1, 2] }] }), /"a": has 5 dimensions/],
    [
      'a dimension of 0',
      ggufBytes({ ...plain, tensors: [{ ...tensor, shape: [2, 0] }] }),
      /"a": shape \[2, 0\] has no elements/,
    ],
    [
      'a dimension of 2^50',
      ggufBytes({ ...plain, tensors: [{ ...tensor, shape: [2 ** 50] }] }),
      /dimension of tensor "a" is/,
    ],
    [
      'a tensor past the end',
      ggufBytes({ ...plain, tensors: [{ ...tensor, shape: [2 ** 32, 2 ** 32, 2 ** 32] }] }),
      /"a": needs bytes.*truncated/,
    ],
    ['an offset past the end', ggufBytes({ ...plain, tensors: [{ ...tensor, offset: 4096 }] }), /"a": needs bytes/],
    [
      'an unaligned offset',
      ggufBytes({ ...plain, tensors: [{ ...tensor, offset: 4 }] }),
      /"a": its offset 4 is not a multiple of 32/,
    ],
    [
      'overlapping tensors',
      ggufBytes({ ...plain, tensors: [tensor, { ...tensor, name: 'b', offset: 0 }] }),
      /"b": begins at byte \d+, inside tensor "a"/,
    ],
    ['a tensor listed twice', ggufBytes({ ...plain, tensors: [tensor, tensor] }), /"a": is listed twice/],
    [
      'rows that are no whole blocks',
      ggufBytes({ ...plain, tensors: [{ ...tensor, type: 8 }] }),
      /rows of 2 elements can't be Q8_0/,
    ],
    ['an alignment of 0', ggufBytes({ ...plain, metadata: { 'general.alignment': 0 } }), /alignment is 0/],
    [
      'an alignment that is a string',
      ggufBytes({ ...plain, metadata: { 'general.alignment': 'x' } }),
      /alignment is x/,
    ],
    ['arrays of 12 million bytes', manyArrays(3, 4 * 1024 * 1024), /arrays of more than 8388608 elements/],
  ])('refuses %s', (_, bytes, message) => {
    const path = write('malformed.gguf', bytes)
    expect(() => openGgufFile(path)).toThrow(CheckpointError)
    expect(() => openGgufFile(path)).toThrow(message)
  })

  it('refuses a repeated key, an endless array and nesting without end', () => {
    const twice = Buffer.from(ggufBytes({ metadata: { aa: 1, ab: 2 }, tensors: [] }))
    twice[twice.indexOf('ab') + 1] = 'a'.charCodeAt(0)
    expect(() => openGgufFile(write('twice.gguf', twice))).toThrow(/key "aa" twice/)
    const array = Buffer.from(ggufBytes({ metadata: { aa: [1, 2, 3] }, tensors: [] }))
    array.writeUInt32LE(4_000_000, array.indexOf('aa') + 2 + 8)
    expect(() => openGgufFile(write('array.gguf', array))).toThrow(/ends inside its header/)
    const nested = Buffer.concat([ggufBytes({ metadata: { aa: [1] }, tensors: [] }).subarray(0, 38), nestedArrays(9)])
    expect(() => openGgufFile(write('nested.gguf', nested))).toThrow(/nests arrays more than 4 deep/)
  })

  it('keeps keys that objects have as plain data', () => {
    const bytes = ggufBytes({ metadata: { constructor: 'c', ['__proto__']: 'p' }, tensors: [] })
    const { metadata, stored } = openGgufFile(write('proto.gguf', bytes))
    stored.close()
    expect(Object.entries(metadata)).toEqual([
      ['constructor', 'c'],
      ['__proto__', 'p'],
    ])
    expect(metadata['toString']).toBeUndefined()
  })

  it('reads long lists of strings and numbers, whatever windows they are read through', () => {
    const tokens = Array.from({ length: 40_000 }, (_, i) => `${'\u00e9'.repeat(i % 70)}${i}`)
    const types = tokens.map((_, i) => i % 7)
    const { metadata, stored } = openGgufFile(
      write('long.gguf', ggufBytes({ metadata: { tokens, types, last: 'end' }, tensors: [] })),
    )
    stored.close()
    expect(metadata).toEqual({ tokens, types, last: 'end' })
    expect(metadata['tokens']).toBe(metadata['tokens'])
  })

  it('keeps a byte-order mark: it may be a token, or the start of one', () => {
    const tokens = ['\uFEFF', '\uFEFFusing', '']
    const bytes = ggufBytes({ metadata: { tokens }, tensors: [] })
    const { metadata, stored } = openGgufFile(write('mark.gguf', bytes))
    stored.close()
    expect(metadata['tokens']).toEqual(tokens)
  })

  it('refuses a file cut anywhere in its header or data', () => {
    const whole = readFileSync(join(fixtures, 'gguf/llama-q4_0.gguf'))
    fc.assert(
      fc.property(fc.nat(whole.length - 1), (length) => {
        const path = write('cut.gguf', whole.subarray(0, length))
        expect(() => openGguf(path)).toThrow(CheckpointError)
      }),
      { numRuns: 60 },
    )
  })

  it('never fails with anything but its own errors, nor allocates what is not in the file', () => {
    const whole = readFileSync(join(fixtures, 'gguf/llama-q4_0.gguf'))
    const headerBytes = 23_000
    const flips = fc.array(fc.tuple(fc.nat(headerBytes), fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 6,
    })
    fc.assert(
      fc.property(flips, (changes) => {
        const bytes = Uint8Array.from(whole)
        for (const [at, mask] of changes) bytes[at]! ^= mask
        const path = write('flipped.gguf', bytes)
        const before = process.memoryUsage()
        try {
          const { weights } = openGguf(path)
          for (const name of weights.names()) tryRead(() => weights.readFloat32(name))
          weights.close()
        } catch (error) {
          if (!OctavoError.isInstance(error)) throw error
        }
        const after = process.memoryUsage()
        expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(64 * 1024 * 1024)
      }),
      { numRuns: 250 },
    )
  })

  function tryRead(read: () => void): void {
    try {
      read()
    } catch (error) {
      if (!OctavoError.isInstance(error)) throw error
    }
  }

  function nestedArrays(depth: number): Uint8Array {
    const parts: Uint8Array[] = []
    for (let i = 0; i < depth; i++) {
      const bytes = new Uint8Array(12)
      const view = new DataView(bytes.buffer)
      view.setUint32(0, 9, true)
      view.setBigUint64(4, 1n, true)
      parts.push(bytes)
    }
    return Buffer.concat([...parts, new Uint8Array(200)])
  }
})
