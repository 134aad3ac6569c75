import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CheckpointError, OctavoError } from '../errors.ts'
import { openSafetensors } from './safetensors.ts'
import { parseSafetensorsHeader } from './safetensors-header.ts'
import {
  float32Tensor,
  safetensorsBytes,
  withHeader,
  writeSafetensors,
  type WrittenTensor,
} from './safetensors-file.case.ts'
import type { WeightSource } from './weight-source.ts'

const models = fileURLToPath(new URL('../../../../fixtures/models/', import.meta.url))

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'octavo-safetensors-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function write(name: string, bytes: Uint8Array): string {
  const path = join(folder, name)
  writeFileSync(path, bytes)
  return path
}

function withSource<T>(path: string, use: (source: WeightSource) => T): T {
  const source = openSafetensors(path)
  try {
    return use(source)
  } finally {
    source.close()
  }
}

/** The CheckpointError that opening gives. */
function refusal(bytes: Uint8Array): CheckpointError {
  const path = write('refused.safetensors', bytes)
  try {
    openSafetensors(path).close()
  } catch (error) {
    if (error instanceof CheckpointError) {
      expect(error.file).toBe(path)
      return error
    }
    throw error
  }
  throw new Error('the file was accepted')
}

function header(entries: Record<string, unknown>): string {
  return JSON.stringify(entries)
}

const f32 = (begin: number, end: number, shape: unknown = [(end - begin) / 4]) => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
})

describe('openSafetensors', () => {
  it('reads back what was written, whole and by rows', () => {
    const path = join(folder, 'plain.safetensors')
    writeSafetensors(path, {
      matrix: float32Tensor([3, 2], [1, 2, 3, 4, 5, 6]),
      stack: float32Tensor([2, 2, 1], [7, 8, 9, 10]),
      scalar: float32Tensor([], [11]),
      empty: float32Tensor([0, 4], []),
      half: { dtype: 'F16', shape: [2], bytes: Uint8Array.of(0, 0x3c, 0, 0xc0) },
      brain: { dtype: 'BF16', shape: [2], bytes: Uint8Array.of(0x80, 0x3f, 0x00, 0xc0) },
    })
    withSource(path, (source) => {
      expect(source.names()).toEqual(['matrix', 'stack', 'scalar', 'empty', 'half', 'brain'])
      expect(source.get('matrix')).toEqual({
        name: 'matrix',
        file: path,
        shape: [3, 2],
        format: 'float32',
        sizeInBytes: 24,
      })
      expect(source.get('absent')).toBeNull()
      expect([...source.readFloat32('matrix', { start: 1, end: 3 })]).toEqual([3, 4, 5, 6])
      expect([...source.readFloat32('stack', { start: 3, end: 4 })]).toEqual([10])
      expect([...source.readFloat32('scalar')]).toEqual([11])
      expect([...source.readFloat32('empty')]).toEqual([])
      expect([...source.readFloat32('half')]).toEqual([1, -2])
      expect([...source.readFloat32('brain')]).toEqual([1, -2])
      const bytes = new Uint8Array(2)
      source.read('half', new Uint8Array(4))
      expect(() => source.read('half', bytes)).toThrow('2 bytes for 1 rows of 4')
      expect(() => source.readFloat32('absent')).toThrow(CheckpointError)
    })
  })

  it.each([
    ['I32', 'int32', 4],
    ['I64', 'int64', 8],
    ['U8', 'uint8', 1],
    ['I8', 'int8', 1],
    ['F8_E4M3', 'float8_e4m3', 1],
    ['F8_E5M2', 'float8_e5m2', 1],
    ['BOOL', 'bool', 1],
    ['BF16', 'bfloat16', 2],
  ])('gives the bytes of %s as %s, whole and in part', (dtype, name, size) => {
    const path = join(folder, 'raw.safetensors')
    const bytes = Uint8Array.from({ length: 6 * size }, (_, i) => i + 1)
    writeSafetensors(path, { before: float32Tensor([1], [1]), qweight: { dtype, shape: [2, 3], bytes } })
    withSource(path, (source) => {
      const raw = source.raw('qweight')
      expect(raw).toMatchObject({ name: 'qweight', file: path, dtype: name, shape: [2, 3], sizeInBytes: 6 * size })
      const [whole, part] = [new Uint8Array(6 * size), new Uint8Array(3)]
      raw?.read(whole)
      raw?.read(part, 2)
      expect([whole, part]).toEqual([bytes, bytes.slice(2, 5)])
      expect(() => raw?.read(part, 6 * size - 2)).toThrow(`of ${6 * size} of qweight`)
      expect(source.raw('absent')).toBeNull()
    })
  })

  it('survives the round trip of any tensors', () => {
    const tensor = fc
      .tuple(fc.constantFrom('F32', 'F16', 'BF16'), fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 }))
      .chain(([dtype, shape]) => {
        const size = shape.reduce((a, b) => a * b, 1) * (dtype === 'F32' ? 4 : 2)
        return fc
          .uint8Array({ minLength: size, maxLength: size })
          .map((bytes): WrittenTensor => ({ dtype, shape, bytes }))
      })
    const name = fc
      .string({ minLength: 1, unit: 'grapheme' })
      .filter((text) => text !== '__proto__' && text !== '__metadata__')
    fc.assert(
      fc.property(fc.dictionary(name, tensor, { maxKeys: 6 }), (tensors) => {
        const path = write('random.safetensors', safetensorsBytes(tensors))
        withSource(path, (source) => {
          expect([...source.names()].sort()).toEqual(Object.keys(tensors).sort())
          for (const [key, { shape, bytes }] of Object.entries(tensors)) {
            expect(source.get(key)?.shape).toEqual(shape)
            const found = new Uint8Array(bytes.length)
            source.read(key, found)
            expect(found).toEqual(new Uint8Array(bytes))
          }
        })
      }),
    )
  })

  it('reads the shards of a fixture by its index', () => {
    withSource(join(models, 'qwen2'), (source) => {
      const index: { weight_map: Record<string, string> } = JSON.parse(
        readFileSync(join(models, 'qwen2', 'model.safetensors.index.json'), 'utf8'),
      )
      expect([...source.names()].sort()).toEqual(Object.keys(index.weight_map).sort())
      expect(source.get('model.embed_tokens.weight')?.shape).toEqual([704, 96])
      for (const [name, shard] of Object.entries(index.weight_map)) {
        expect(source.get(name)?.file).toBe(join(models, 'qwen2', shard))
        expect(source.readFloat32(name).every(Number.isFinite)).toBe(true)
      }
    })
  })

  it.each(['llama', 'gemma2', 'gpt2', 'mixtral', 'gpt-oss'])('reads all of fixture %s', (name) => {
    withSource(join(models, name), (source) => {
      expect(source.names().length).toBeGreaterThan(20)
      for (const tensor of source.names()) expect(source.readFloat32(tensor).every(Number.isFinite)).toBe(true)
    })
  })

  it('lists tensors of other dtypes and refuses to give them', () => {
    const bytes = safetensorsBytes({
      'a.weight_scale': float32Tensor([1], [1]),
      'a.weight': { dtype: 'F8_E4M3', shape: [2, 2], bytes: new Uint8Array(4) },
      'a.ids': { dtype: 'I64', shape: [1], bytes: new Uint8Array(8) },
    })
    withSource(write('quantized.safetensors', bytes), (source) => {
      expect(source.names()).toEqual(['a.weight_scale', 'a.weight', 'a.ids'])
      expect(() => source.get('a.weight')).toThrow(
        /"a.weight".*F8_E4M3.*a quantization_config would have to say what it means/,
      )
      expect(() => source.readFloat32('a.ids')).toThrow(/I64/)
    })
  })
})

describe('malformed safetensors files', () => {
  it.each<[what: string, bytes: Uint8Array, message: RegExp]>([
    ['an empty file', new Uint8Array(0), /less than a safetensors header/],
    ['a header length past the limit', Uint8Array.of(0, 0, 0, 2, 0, 0, 0, 0), /limit is 26214400/],
    ['a header length of 2^64 - 1', new Uint8Array(8).fill(255), /18446744073709551615/],
    ['a header longer than the file', Uint8Array.of(200, 0, 0, 0, 0, 0, 0, 0, 123), /200 bytes but has 9 in all/],
    ['bad JSON', withHeader('{"a": '), /not valid JSON/],
    ['a header that is a list', withHeader('[]'), /must hold a JSON object/],
    ['a header that is not UTF-8', Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe), /not UTF-8/],
    ['an entry that is no object', withHeader(header({ a: 5 })), /"a": its header entry is not an object/],
    [
      'an unknown dtype',
      withHeader(header({ a: { ...f32(0, 4), dtype: 'F33' } }), new Uint8Array(4)),
      /"a": unknown dtype "F33"/,
    ],
    [
      'a dtype named like an object property',
      withHeader(header({ a: { ...f32(0, 0), dtype: 'constructor' } })),
      /unknown dtype "constructor"/,
    ],
    ['a negative dimension', withHeader(header({ a: f32(0, 4, [-1]) }), new Uint8Array(4)), /"a": shape \[-1\]/],
    [
      'a fractional dimension',
      withHeader(header({ a: f32(0, 4, [0.5, 2]) }), new Uint8Array(4)),
      /"a": shape \[0.5,2\]/,
    ],
    ['a huge dimension', withHeader(header({ a: f32(0, 4, [2 ** 40, 0]) }), new Uint8Array(4)), /"a": shape/],
    ['a rank of 9', withHeader(header({ a: f32(0, 4, Array(9).fill(1)) }), new Uint8Array(4)), /up to 8 sizes/],
    [
      'offsets that are strings',
      withHeader(header({ a: { ...f32(0, 4), data_offsets: ['0', '4'] } }), new Uint8Array(4)),
      /not two byte offsets/,
    ],
    [
      'offsets beyond the file',
      withHeader(header({ a: f32(0, 400) }), new Uint8Array(4)),
      /\[0, 400\] lie outside the 4 bytes.*truncated/,
    ],
    [
      'offsets backwards',
      withHeader(header({ a: { ...f32(0, 4), data_offsets: [4, 0] } }), new Uint8Array(4)),
      /lie outside/,
    ],
    [
      'a size that is not dtype × shape',
      withHeader(header({ a: f32(0, 8, [1]) }), new Uint8Array(8)),
      /takes 4 bytes, but its data_offsets span 8/,
    ],
    ['an overflowing shape', withHeader(header({ a: f32(0, 4, Array(8).fill(2 ** 32)) }), new Uint8Array(4)), /span 4/],
    [
      'overlapping tensors',
      withHeader(header({ a: f32(0, 8), b: f32(4, 12) }), new Uint8Array(12)),
      /"b": begins at byte 4 and so overlaps "a"/,
    ],
    [
      'a hole between tensors',
      withHeader(header({ a: f32(0, 4), b: f32(8, 12) }), new Uint8Array(12)),
      /"b".*leaves 4 unused bytes behind "a"/,
    ],
    [
      'bytes behind the last tensor',
      withHeader(header({ a: f32(0, 4) }), new Uint8Array(12)),
      /8 bytes behind the last tensor/,
    ],
    [
      'a duplicate tensor',
      withHeader(`{"a":${header(f32(0, 4))},"\\u0061":${header(f32(4, 8))}}`, new Uint8Array(8)),
      /key "a" twice/,
    ],
    [
      'a duplicate field',
      withHeader('{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}', new Uint8Array(4)),
      /key "shape" twice/,
    ],
    [
      'a tensor named __proto__',
      withHeader(`{"__proto__":${header(f32(0, 4))}}`, new Uint8Array(4)),
      /__proto__.*not allowed/,
    ],
  ])('refuses %s', (_, bytes, message) => {
    expect(refusal(bytes).message).toMatch(message)
  })

  it('refuses a file cut at any byte', () => {
    const whole = safetensorsBytes({ a: float32Tensor([2, 3], [1, 2, 3, 4, 5, 6]), b: float32Tensor([1], [7]) })
    for (let length = 0; length < whole.length; length++) refusal(whole.subarray(0, length))
  })

  it('never fails with anything but its own errors', () => {
    const whole = safetensorsBytes({ a: float32Tensor([2, 3], [1, 2, 3, 4, 5, 6]), b: float32Tensor([1], [7]) })
    const flips = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 4,
    })
    fc.assert(
      fc.property(flips, (changes) => {
        const bytes = Uint8Array.from(whole)
        for (const [at, mask] of changes) bytes[at]! ^= mask
        const path = write('flipped.safetensors', bytes)
        try {
          withSource(path, (source) => source.names().map((name) => source.readFloat32(name)))
        } catch (error) {
          if (!OctavoError.isInstance(error)) throw error
        }
      }),
      { numRuns: 300 },
    )
  })

  it('notices a file that shrinks after it was opened', () => {
    const path = write('shrinking.safetensors', safetensorsBytes({ a: float32Tensor([4], [1, 2, 3, 4]) }))
    withSource(path, (source) => {
      truncateSync(path, 98)
      expect(() => source.readFloat32('a')).toThrow(/has become shorter/)
    })
  })

  it('takes a header without tensors', () => {
    expect(parseSafetensorsHeader('{"__metadata__":{}}', 'x', 0)).toEqual([])
  })
})

describe('sharded checkpoints', () => {
  const shard = safetensorsBytes({ a: float32Tensor([1], [1]) })

  function shardedFolder(name: string, index: unknown): string {
    const path = join(folder, name)
    mkdirSync(path)
    writeFileSync(join(path, 'one.safetensors'), shard)
    writeFileSync(join(path, 'model.safetensors.index.json'), typeof index === 'string' ? index : JSON.stringify(index))
    return path
  }

  it.each([
    '../one.safetensors',
    '/etc/one.safetensors',
    'sub/one.safetensors',
    '..\\one.safetensors',
    'C:one.safetensors',
    '.hidden.safetensors',
    'one.bin',
    'one.safetensors\0.safetensors',
    5,
    null,
  ])('refuses the shard name %j', (name) => {
    const path = shardedFolder(`escape-${Math.random()}`, { weight_map: { a: name } })
    expect(() => openSafetensors(path)).toThrow(/not a plain .safetensors file name/)
  })

  it.each<[string, unknown, RegExp]>([
    ['bad JSON', '{', /index.json: is not valid JSON/],
    ['no weight_map', {}, /"weight_map" must be an object/],
    ['an empty weight_map', { weight_map: {} }, /names 0 shards/],
    ['a missing shard', { weight_map: { a: 'two.safetensors' } }, /two.safetensors, which is missing.*download it/],
    [
      'a missing tensor',
      { weight_map: { a: 'one.safetensors', b: 'one.safetensors' } },
      /one.safetensors: tensor "b": missing/,
    ],
  ])('refuses an index with %s', (what, index, message) => {
    expect(() => openSafetensors(shardedFolder(what, index))).toThrow(message)
  })

  it('refuses a tensor that two files without an index both have', () => {
    const path = join(folder, 'twice')
    mkdirSync(path)
    for (const name of ['one', 'two']) writeFileSync(join(path, `${name}.safetensors`), shard)
    expect(() => openSafetensors(path)).toThrow(/no index file says which one counts/)
  })

  it("leaves out Mistral's consolidated copy, and explains a folder of pickles", () => {
    const path = join(folder, 'mistral')
    mkdirSync(path)
    writeFileSync(join(path, 'pytorch_model.bin'), '')
    expect(() => openSafetensors(path)).toThrow(/pickles can run code/)
    writeFileSync(join(path, 'model.safetensors'), shard)
    writeFileSync(join(path, 'consolidated.safetensors'), shard)
    withSource(path, (source) => expect(source.names()).toEqual(['a']))
  })
})
