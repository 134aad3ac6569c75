import { allKvDTypes } from '@octavo/core/backend'
import type { KvDType } from '@octavo/core/backend'
import { RandomData } from '@octavo/core/testing'
import { describe, expect, it } from 'vitest'
import type { NativeAddon, NativeKvCache, NativePool } from '../native-addon.ts'
import { testedAddon, testedIsas } from '../tested-isas.case.ts'

const [heads, kvHeads, headDim, blockSize] = [6, 2, 40, 16]
const [width, kvWidth] = [heads * headDim, kvHeads * headDim]
/** The kernels cut keys every 256 positions: none, some and several cuts. */
const seqLens = [700, 130, 513]
const numBlocks = seqLens.map((seqLen) => Math.ceil(seqLen / blockSize))
const maxBlocks = Math.max(...numBlocks)

interface Features {
  readonly scale: number
  readonly slidingWindow: number
  readonly softcap: number
  readonly sinks: Float32Array | null
}

/** Rows `from` to `to` of sequence `s`. */
interface Chunk {
  readonly s: number
  readonly from: number
  readonly to: number
}

const random = new RandomData(60)
const queries = seqLens.map((seqLen) => random.floats(seqLen * width, 2))
const keys = seqLens.map((seqLen) => random.floats(seqLen * kvWidth, 2))
const values = seqLens.map((seqLen) => random.floats(seqLen * kvWidth))
const blockIds = random.permutation(numBlocks.reduce((sum, count) => sum + count, 0))
const blockTables = numBlocks.map((count) => blockIds.splice(0, count))
const features: readonly (readonly [string, Features])[] = [
  ['plain', { scale: headDim ** -0.5, slidingWindow: 0, softcap: 0, sinks: null }],
  [
    'window, softcap and sinks',
    { scale: headDim ** -0.5, slidingWindow: 300, softcap: 3, sinks: random.floats(heads, 2) },
  ],
]
const odd: readonly (readonly [string, Features])[] = [
  ['a negative scale', { scale: -0.1, slidingWindow: 0, softcap: 0, sinks: null }],
  ['logits so far apart that one key has all the weight', { scale: 1e28, slidingWindow: 300, softcap: 0, sinks: null }],
]

const sequenceSlots = seqLens.map((seqLen, s) =>
  Int32Array.from({ length: seqLen }, (_, j) => {
    return blockTables[s]![Math.floor(j / blockSize)]! * blockSize + (j % blockSize)
  }),
)

function createCache(addon: NativeAddon, dtype: KvDType): NativeKvCache {
  const total = numBlocks.reduce((sum, count) => sum + count, 0)
  const kv = new addon.KvCache(1, total * blockSize, kvWidth, headDim, dtype)
  sequenceSlots.forEach((slots, s) => kv.writeRows(0, slots, keys[s]!, values[s]!))
  return kv
}

/** A float32 cache that holds what `kv` gives back. */
function widen(addon: NativeAddon, kv: NativeKvCache): NativeKvCache {
  const wide = createCache(addon, 'float32')
  sequenceSlots.forEach((slots, s) => {
    const [keyRows, valueRows] = [new Float32Array(keys[s]!.length), new Float32Array(values[s]!.length)]
    kv.readRows(0, slots, keyRows, valueRows)
    wide.writeRows(0, slots, keyRows, valueRows)
  })
  return wide
}

function attend(pool: NativePool, kv: NativeKvCache, chunks: readonly Chunk[], options: Features): Float32Array[] {
  const starts = Int32Array.from({ length: chunks.length + 1 }, (_, i) => {
    return chunks.slice(0, i).reduce((sum, { from, to }) => sum + to - from, 0)
  })
  const numTokens = starts.at(-1)!
  const query = new Float32Array(numTokens * width)
  const tables = new Int32Array(chunks.length * maxBlocks)
  chunks.forEach(({ s, from, to }, i) => {
    query.set(queries[s]!.subarray(from * width, to * width), starts[i]! * width)
    tables.set(blockTables[s]!, i * maxBlocks)
  })
  const lens = Int32Array.from(chunks, ({ to }) => to)
  const out = new Float32Array(query.length).fill(NaN)
  const { scale, slidingWindow, softcap, sinks } = options
  pool.pagedAttention(
    ...([kv, 0, out, query, starts, lens, tables, blockSize, numTokens, heads, headDim, scale] as const),
    ...([slidingWindow, softcap, sinks] as const),
  )
  return chunks.map((_, i) => out.slice(starts[i]! * width, starts[i + 1]! * width))
}

/** One row in float64. */
function attendPlainly(s: number, position: number, options: Features): Float64Array {
  const out = new Float64Array(width)
  const first = options.slidingWindow > 0 ? Math.max(0, position - options.slidingWindow + 1) : 0
  for (let head = 0; head < heads; head++) {
    const kvOffset = Math.floor(head / (heads / kvHeads)) * headDim
    const scores: number[] = []
    for (let j = first; j <= position; j++) {
      let dot = 0
      for (let d = 0; d < headDim; d++) {
        dot += queries[s]![position * width + head * headDim + d]! * keys[s]![j * kvWidth + kvOffset + d]!
      }
      const score = dot * options.scale
      scores.push(options.softcap > 0 ? options.softcap * Math.tanh(score / options.softcap) : score)
    }
    const logits = options.sinks === null ? scores : [...scores, options.sinks[head]!]
    const max = Math.max(...logits)
    const sum = logits.reduce((total, logit) => total + Math.exp(logit - max), 0)
    scores.forEach((score, i) => {
      const weight = Math.exp(score - max) / sum
      const at = (first + i) * kvWidth + kvOffset
      for (let d = 0; d < headDim; d++) out[head * headDim + d]! += weight * values[s]![at + d]!
    })
  }
  return out
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length)
}

function largest(numbers: Iterable<number>): number {
  return Array.from(numbers, Math.abs).reduce((a, b) => Math.max(a, b), 0)
}

describe.skipIf(testedAddon === null)('pagedAttention over several key ranges', () => {
  const addon = testedAddon as NativeAddon

  describe.each(testedIsas)('%s', (isa) => {
    it.each([...features, ...odd])('is right: %s', (_, options) => {
      expect(addon.setIsa(isa)).toBe(true)
      const kv = createCache(addon, 'float32')
      const pool = new addon.Pool(1)
      seqLens.forEach((seqLen, s) => {
        const [rows] = attend(pool, kv, [{ s, from: 0, to: seqLen }], options)
        for (const position of [0, 129, seqLen - 1].filter((p) => p < seqLen)) {
          const plain = attendPlainly(s, position, options)
          const row = rows!.subarray(position * width, (position + 1) * width)
          expect(largest(plain.map((value, i) => value - row[i]!))).toBeLessThan(1e-5 * largest(plain))
        }
      })
      pool.dispose()
      kv.dispose()
      addon.setIsa(addon.bestIsa())
    })

    const cases = allKvDTypes.flatMap((dtype) => features.map(([name, options]) => [dtype, name, options] as const))

    it.each(cases)('has the same bits for any cut of the work: %s, %s', (dtype, _, options) => {
      expect(addon.setIsa(isa)).toBe(true)
      const kv = createCache(addon, dtype)
      const wide = widen(addon, kv)
      const alone = new addon.Pool(1)
      // Over a narrow cache they are those over a float32 cache that holds its values.
      const expected = seqLens.map((seqLen, s) => attend(alone, wide, [{ s, from: 0, to: seqLen }], options)[0]!)
      for (const threads of [1, 2, 4]) {
        const pool = threads === 1 ? alone : new addon.Pool(threads)
        // The longest by far: once is enough.
        const whole = threads === 2 ? seqLens.map((seqLen, s) => ({ s, from: 0, to: seqLen })) : []
        const last = seqLens.map((seqLen, s) => ({ s, from: seqLen - 1, to: seqLen }))
        const middle = seqLens.map((seqLen, s) => ({ s, from: seqLen - 90, to: seqLen - 3 }))
        for (const chunks of [
          whole,
          last,
          ...last.map((chunk) => [chunk]),
          middle,
          [middle[2]!, last[0]!, middle[1]!],
        ]) {
          attend(pool, kv, chunks, options).forEach((rows, i) => {
            const { s, from, to } = chunks[i]!
            const rowsAlone = expected[s]!.slice(from * width, to * width)
            expect(bitsOf(rows), `${threads} threads, ${s}: ${from}`).toEqual(bitsOf(rowsAlone))
          })
        }
        if (pool !== alone) pool.dispose()
      }
      alone.dispose()
      for (const cache of [kv, wide]) cache.dispose()
      addon.setIsa(addon.bestIsa())
    })
  })

  it('keeps the same values on every instruction set', () => {
    for (const dtype of allKvDTypes) {
      const read = testedIsas.map((isa) => {
        expect(addon.setIsa(isa)).toBe(true)
        const kv = createCache(addon, dtype)
        const rows = [new Float32Array(keys[0]!.length), new Float32Array(values[0]!.length)] as const
        kv.readRows(0, sequenceSlots[0]!, ...rows)
        kv.dispose()
        return rows.map(bitsOf)
      })
      for (const bits of read) expect(bits).toEqual(read[0])
    }
    addon.setIsa(addon.bestIsa())
  })
})
