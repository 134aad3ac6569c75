import { tensor2d } from '@tensorflow/tfjs-core'
import type { Tensor1D } from '@tensorflow/tfjs-core'
import { describe, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import type { KvDType, KvStorage } from '../tensor/kv-storage.ts'
import { ceilDiv } from '../util/math.ts'
import type { AttentionMetadata } from './attention-metadata.ts'
import { expectClose, expectSameBits, expectTensorsLeft, take } from './expectations.case.ts'
import { RandomData } from './random-data.case.ts'
import { pagedAttention, pagedAttentionComposite } from './paged-attention.ts'
import type { PagedAttentionOptions } from './paged-attention.ts'

interface HeadShape {
  readonly numHeads: number
  readonly numKvHeads: number
  readonly headDim: number
}

interface CachedSequence {
  readonly blockTable: readonly number[]
  readonly seqLen: number
  readonly queryLen: number
}

type Features = Pick<PagedAttentionOptions, 'slidingWindow' | 'softcap'> & { readonly hasSinks: boolean }

const plain: Features = { slidingWindow: null, softcap: null, hasSinks: false }
const features: readonly (readonly [string, Features])[] = [
  ['plain', plain],
  ['sliding window', { ...plain, slidingWindow: 5 }],
  ['softcap', { ...plain, softcap: 2 }],
  ['sinks', { ...plain, hasSinks: true }],
  ['all together', { slidingWindow: 9, softcap: 3, hasSinks: true }],
]
const headShapes: readonly HeadShape[] = [
  { numHeads: 4, numKvHeads: 4, headDim: 16 },
  { numHeads: 4, numKvHeads: 2, headDim: 24 },
  { numHeads: 6, numKvHeads: 1, headDim: 32 },
  { numHeads: 8, numKvHeads: 2, headDim: 64 },
  { numHeads: 2, numKvHeads: 1, headDim: 80 },
  { numHeads: 4, numKvHeads: 2, headDim: 5 },
  { numHeads: 3, numKvHeads: 3, headDim: 128 },
  { numHeads: 2, numKvHeads: 2, headDim: 256 },
]
const blockSize = 16
const layer = 1

/** Sequences on scattered blocks; a slot that no sequence owns holds NaN, as an earlier request may have left it. */
function createCache(
  pack: BackendPack,
  random: RandomData,
  shape: HeadShape & { readonly dtype?: KvDType },
  seqLens: readonly number[],
): [KvStorage, number[][]] {
  const { numKvHeads, headDim, dtype = 'float32' } = shape
  const numBlocks = seqLens.reduce((sum, seqLen) => sum + ceilDiv(seqLen, blockSize), 0) + 3
  const kv = pack.createKvStorage({ dtype, numLayers: 2, numBlocks, blockSize, numKvHeads, headDim })
  const width = numKvHeads * headDim
  const numSlots = numBlocks * blockSize
  const allSlots = Int32Array.from({ length: numSlots }, (_, i) => i)
  const poison = new Float32Array(numSlots * width).fill(NaN)
  for (const everyLayer of [0, 1]) kv.writeRows(everyLayer, allSlots, poison, poison)
  const free = random.permutation(numBlocks)
  const blockTables = seqLens.map((seqLen) => free.splice(0, ceilDiv(seqLen, blockSize)))
  seqLens.forEach((seqLen, s) => {
    const slots = Int32Array.from(
      { length: seqLen },
      (_, j) => blockTables[s]![Math.floor(j / blockSize)]! * blockSize + (j % blockSize),
    )
    kv.writeRows(layer, slots, random.floats(seqLen * width, 2), random.floats(seqLen * width))
  })
  return [kv, blockTables]
}

function createMetadata(sequences: readonly CachedSequence[]): AttentionMetadata {
  const numTokens = sequences.reduce((sum, { queryLen }) => sum + queryLen, 0)
  const maxBlocksPerSeq = Math.max(...sequences.map(({ blockTable }) => blockTable.length)) + 1
  const blockTables = new Int32Array(sequences.length * maxBlocksPerSeq)
  const queryStartLoc = new Int32Array(sequences.length + 1)
  const positions = new Int32Array(numTokens)
  const slotMapping = new Int32Array(numTokens)
  sequences.forEach(({ blockTable, seqLen, queryLen }, s) => {
    blockTables.set(blockTable, s * maxBlocksPerSeq)
    const start = queryStartLoc[s]!
    queryStartLoc[s + 1] = start + queryLen
    for (let i = 0; i < queryLen; i++) {
      const position = seqLen - queryLen + i
      positions[start + i] = position
      slotMapping[start + i] = blockTable[Math.floor(position / blockSize)]! * blockSize + (position % blockSize)
    }
  })
  const seqLens = Int32Array.from(sequences, ({ seqLen }) => seqLen)
  return {
    numTokens,
    numSeqs: sequences.length,
    blockSize,
    queryStartLoc,
    seqLens,
    blockTables,
    maxBlocksPerSeq,
    slotMapping,
    positions,
  }
}

function createOptions(
  kv: KvStorage,
  metadata: AttentionMetadata,
  { numHeads, headDim }: HeadShape,
  { hasSinks, ...rest }: Features & { readonly sinks: Tensor1D },
): PagedAttentionOptions {
  const { sinks, slidingWindow, softcap } = rest
  const scale = headDim ** -0.5
  return { kv, layer, metadata, numHeads, scale, slidingWindow, softcap, sinks: hasSinks ? sinks : null }
}

/** Query rows of whole sequences; a chunk takes the rows of its positions. */
function chunkOutputs(
  kv: KvStorage,
  chunk: readonly { readonly queries: Float32Array; readonly sequence: CachedSequence }[],
  shape: HeadShape,
  feature: Features & { readonly sinks: Tensor1D },
): Float32Array[] {
  const width = shape.numHeads * shape.headDim
  const metadata = createMetadata(chunk.map(({ sequence }) => sequence))
  const rows = new Float32Array(metadata.numTokens * width)
  chunk.forEach(({ queries, sequence: { seqLen, queryLen } }, s) => {
    rows.set(queries.subarray((seqLen - queryLen) * width, seqLen * width), metadata.queryStartLoc[s]! * width)
  })
  const query = tensor2d(rows, [metadata.numTokens, width])
  const out = take(pagedAttention(query, createOptions(kv, metadata, shape, feature)))
  query.dispose()
  return chunk.map((_, s) => out.slice(metadata.queryStartLoc[s]! * width, metadata.queryStartLoc[s + 1]! * width))
}

type StoredShape = HeadShape & { readonly dtype?: KvDType }

/** A mixed batch: fused equals composite on the same cache, and comes as near to the float32 cache as `tolerance` says. */
function expectComposite(pack: BackendPack, shape: StoredShape, feature: Features, tolerance: number): void {
  const seqLens = [1, 7, 16, 33, 70, 40]
  const queryLens = [1, 7, 1, 33, 1, 13] // first tokens, whole prompts, decodes, a chunk of a prompt
  const [kv, blockTables] = createCache(pack, new RandomData(30), shape, seqLens)
  const [exact] = createCache(pack, new RandomData(30), { ...shape, dtype: 'float32' }, seqLens)
  const sequences = seqLens.map((seqLen, s) => ({ seqLen, queryLen: queryLens[s]!, blockTable: blockTables[s]! }))
  const metadata = createMetadata(sequences)
  const random = new RandomData(33)
  const query = random.matrix(metadata.numTokens, shape.numHeads * shape.headDim, 2)
  const sinks = random.vector(shape.numHeads, 3)
  const options = createOptions(kv, metadata, shape, { ...feature, sinks })
  expectClose(pagedAttention(query, options), pagedAttentionComposite(query, options))
  expectClose(pagedAttention(query, options), pagedAttentionComposite(query, { ...options, kv: exact }), tolerance)
  expectTensorsLeft(() => [pagedAttention(query, options)])
  query.dispose()
  sinks.dispose()
  for (const cache of [kv, exact]) cache.dispose()
}

/** Prompts cut into chunks at random and batched at random give the bits of whole prompts alone. */
function expectChunkInvariance(pack: BackendPack, shape: StoredShape, feature: Features): void {
  const random = new RandomData(31)
  const seqLens = [83, 40, 21]
  const [kv, blockTables] = createCache(pack, random, shape, seqLens)
  const sinks = random.vector(shape.numHeads, 3)
  const width = shape.numHeads * shape.headDim
  const prompts = seqLens.map((seqLen, s) => ({
    queries: random.floats(seqLen * width, 2),
    sequence: { seqLen, queryLen: seqLen, blockTable: blockTables[s]! },
  }))
  const expected = prompts.map((prompt) => chunkOutputs(kv, [prompt], shape, { ...feature, sinks })[0]!)
  const actual = prompts.map(({ queries }) => new Float32Array(queries.length))
  const computed = seqLens.map(() => 0)
  while (computed.some((done, s) => done < seqLens[s]!)) {
    const active = random
      .permutation(seqLens.length)
      .filter((s) => computed[s]! < seqLens[s]! && random.uniform() < 0.8)
    if (active.length === 0) continue
    const chunk = active.map((s) => {
      const seqLen = Math.min(seqLens[s]!, computed[s]! + random.integer(1, 19))
      return {
        queries: prompts[s]!.queries,
        sequence: { seqLen, queryLen: seqLen - computed[s]!, blockTable: blockTables[s]! },
      }
    })
    chunkOutputs(kv, chunk, shape, { ...feature, sinks }).forEach((rows, i) => {
      const s = active[i]!
      actual[s]!.set(rows, computed[s]! * width)
      computed[s] = chunk[i]!.sequence.seqLen
    })
  }
  actual.forEach((rows, s) => expectSameBits(rows, expected[s]!, `sequence ${s}`))
  sinks.dispose()
  kv.dispose()
}

/** How far attention may be from that over a float32 cache, as a share of the largest output. */
const dtypeTolerances = [
  ['bfloat16', 1e-2],
  ['int8', 2e-2],
] as const

/** `pagedAttention` on mixed batches. */
export function describePagedAttention(getPack: () => BackendPack): void {
  describe.each(features)('pagedAttention, %s', (_, feature) => {
    it.each(headShapes)('equals its composite: $numHeads heads on $numKvHeads, $headDim wide', (shape) => {
      expectComposite(getPack(), shape, feature, 1e-5)
    })

    it('gives every token the same bits however prompts are chunked and batched', ({ skip }) => {
      if (!getPack().isBatchInvariant) skip('the pack does not promise batch invariance')
      for (const shape of [headShapes[1]!, headShapes[4]!, headShapes[3]!])
        expectChunkInvariance(getPack(), shape, feature)
    })

    it.for(dtypeTolerances)('over a cache in %s', ([dtype, tolerance], { skip }) => {
      if (!getPack().kvCacheDtypes.includes(dtype)) skip(`the pack has no KV cache in ${dtype}`)
      // Reading a cache goes by the shape, not by what is done with the weights.
      const [compared, chunked] =
        feature === plain
          ? [headShapes, [headShapes[1]!, headShapes[3]!]]
          : [[headShapes[2]!, headShapes[5]!], [headShapes[1]!]]
      for (const shape of compared) expectComposite(getPack(), { ...shape, dtype }, feature, tolerance)
      if (!getPack().isBatchInvariant) return
      for (const shape of chunked) expectChunkInvariance(getPack(), { ...shape, dtype }, feature)
    })
  })

  it('pagedAttention attends over a long context', () => {
    const random = new RandomData(32)
    const shape = headShapes[3]!
    const [kv, blockTables] = createCache(getPack(), random, shape, [1500, 600])
    const metadata = createMetadata([
      { seqLen: 1500, queryLen: 2, blockTable: blockTables[0]! },
      { seqLen: 600, queryLen: 1, blockTable: blockTables[1]! },
    ])
    const query = random.matrix(3, shape.numHeads * shape.headDim, 4)
    const sinks = random.vector(shape.numHeads)
    const options = createOptions(kv, metadata, shape, { ...plain, sinks })
    expectClose(pagedAttention(query, options), pagedAttentionComposite(query, options))
    for (const tensor of [query, sinks]) tensor.dispose()
    kv.dispose()
  })
}
