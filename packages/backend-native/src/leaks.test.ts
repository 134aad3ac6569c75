/**
 * Native calls in the shapes of a scheduler's steps leave no memory behind. The suite makes 140,000 of them;
 * `npm run test:leaks` makes ten million.
 */
import { setImmediate } from 'node:timers/promises'
import { allKvDTypes } from '@octavo/core/backend'
import type { KvDType } from '@octavo/core/backend'
import { RandomData } from '@octavo/core/testing'
import { describe, expect, it } from 'vitest'
import type { NativeAddon, NativeKvCache, NativePool } from './native-addon.ts'
import { testedAddon } from './tested-isas.case.ts'

const numCalls = Number(process.env['OCTAVO_LEAK_CALLS'] ?? 140_000)
const [heads, kvHeads, headDim, blockSize, numBlocks, vocabSize] = [2, 1, 16, 4, 64, 300]
const [width, kvWidth] = [heads * headDim, kvHeads * headDim]
const numMaskWords = Math.ceil(vocabSize / 32)
const maxTokens = 8

/** The arrays of one step; sequences own blocks in turn. */
interface Step {
  readonly numTokens: number
  readonly starts: Int32Array
  readonly lens: Int32Array
  readonly tables: Int32Array
  readonly slots: Int32Array
  readonly x: Float32Array
  readonly out: Float32Array
  readonly rows: Float32Array
  readonly logits: Float32Array
  readonly drawn: Int32Array
  readonly params: Float64Array
  readonly noStarts: Int32Array
  readonly maskStarts: Int32Array
  readonly masks: Int32Array
}

function randomStep(random: RandomData): Step {
  const queryLens = random.partition(random.integer(1, maxTokens), 9).slice(0, 6)
  const numSeqs = queryLens.length
  const starts = new Int32Array(numSeqs + 1)
  queryLens.forEach((length, s) => (starts[s + 1] = starts[s]! + length))
  const numTokens = starts[numSeqs]!
  const params = queryLens.flatMap((_, s) => [
    s,
    1.8,
    -Infinity,
    s % 2 === 0 ? 0 : 20,
    0.9,
    random.uniform(),
    1.1,
    0,
    0,
  ])
  return {
    numTokens,
    starts,
    lens: Int32Array.from(queryLens, (length) => length + random.integer(0, 20)),
    tables: Int32Array.from({ length: numSeqs * 10 }, (_, i) => i % numBlocks),
    slots: Int32Array.from({ length: numTokens }, () => random.integer(0, numBlocks * blockSize - 1)),
    x: random.floats(numTokens * width),
    out: new Float32Array(numTokens * width),
    rows: random.floats(numTokens * kvWidth),
    logits: random.floats(numSeqs * vocabSize, 5),
    drawn: new Int32Array(numSeqs),
    params: Float64Array.from(params),
    noStarts: new Int32Array(numSeqs + 1),
    // Every other row has one.
    maskStarts: Int32Array.from({ length: numSeqs + 1 }, (_, s) => (s >>> 1) * numMaskWords),
    masks: Int32Array.from({ length: (numSeqs >>> 1) * numMaskWords }, () => random.integer(-(2 ** 31), 2 ** 31 - 1)),
  }
}

const none = { ids: new Int32Array(0), values: new Float64Array(0) }
const callsPerStep = 7

function run(pool: NativePool, step: Step, kv: NativeKvCache): void {
  const { numTokens, x, out, rows, starts, lens, tables, logits, noStarts, maskStarts, masks } = step
  kv.copySlots(0, blockSize, blockSize)
  pool.rmsNorm(out, x, x.subarray(0, width), numTokens, width, 1e-6)
  kv.writeRows(0, step.slots, rows, rows)
  pool.pagedAttention(
    ...([kv, 0, out, x, starts, lens, tables, blockSize, numTokens, heads, headDim, 0.25, 0, 0, null] as const),
  )
  const matrix = pool.createMatrix('float32', width, width, new Uint8Array(4 * width * width), 'float32')
  pool.linear(matrix, out, x, numTokens, null)
  matrix.dispose()
  pool.sampleRows(
    ...([step.drawn, logits, vocabSize, step.params, noStarts, none.ids, none.values] as const),
    ...([noStarts, none.ids, none.ids, maskStarts, masks] as const),
  )
}

describe.skipIf(testedAddon === null)('native calls in the shapes of a scheduler', () => {
  it('leak nothing', { timeout: 60_000 + numCalls / 10 }, async () => {
    const addon = testedAddon as NativeAddon
    const random = new RandomData(70)
    const steps = Array.from({ length: 64 }, () => randomStep(random))
    const pool = new addon.Pool(2)
    const createCache = (dtype: KvDType): NativeKvCache =>
      new addon.KvCache(1, numBlocks * blockSize, kvWidth, headDim, dtype)
    const caches = allKvDTypes.map(createCache)
    const churn = async (count: number): Promise<void> => {
      for (let i = 0; i < count / callsPerStep; i++) {
        // Node frees what a collected handle held between turns of the event loop only, and an engine takes such turns.
        if (i % 100 === 0) await setImmediate()
        const which = i % caches.length
        if (i % 100 < caches.length) {
          caches[which]?.dispose()
          caches[which] = createCache(allKvDTypes[which]!)
        }
        run(pool, steps[i % steps.length]!, caches[which]!)
      }
    }
    await churn(numCalls / 10)
    const growthOf = async (count: number): Promise<number> => {
      const before = process.memoryUsage.rss()
      await churn(count)
      return process.memoryUsage.rss() - before
    }
    // A leak is in both halves, 36 MB of 512 bytes a call already in the short run; a heap that settles is in one.
    const growth = [await growthOf(numCalls / 2), await growthOf(numCalls / 2)]
    expect(Math.min(...growth), growth.join(', ')).toBeLessThan(32e6)
    for (const kv of caches) kv.dispose()
    pool.dispose()
  })
})
