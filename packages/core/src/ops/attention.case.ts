import { setBackend, tensor2d } from '@tensorflow/tfjs-core'
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
import { describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { attention, attentionComposite } from './attention.ts'
import type { AttentionAttrs, AttentionInputs } from './attention.ts'
import type { AttentionMetadata } from './attention-metadata.ts'
import { expectClose, expectSameBits, expectTensorsLeft, take } from './expectations.case.ts'
import { kvWrite } from './kv-write.ts'
import { pagedAttention } from './paged-attention.ts'
import { RandomData } from './random-data.case.ts'

interface HeadShape {
  readonly numHeads: number
  readonly numKvHeads: number
  readonly headDim: number
}

type Features = Pick<AttentionAttrs, 'isCausal' | 'slidingWindow' | 'softcap'> & { readonly hasSinks: boolean }

const plain: Features = { isCausal: true, slidingWindow: null, softcap: null, hasSinks: false }
const features: readonly (readonly [string, Features])[] = [
  ['causal', plain],
  ['not causal', { ...plain, isCausal: false }],
  ['causal, sliding window', { ...plain, slidingWindow: 5 }],
  ['not causal, sliding window', { ...plain, isCausal: false, slidingWindow: 5 }],
  ['softcap', { ...plain, softcap: 2 }],
  ['sinks', { ...plain, hasSinks: true }],
  ['all together', { isCausal: true, slidingWindow: 9, softcap: 3, hasSinks: true }],
  ['all together, not causal', { isCausal: false, slidingWindow: 9, softcap: 3, hasSinks: true }],
]
const headShapes: readonly HeadShape[] = [
  { numHeads: 4, numKvHeads: 4, headDim: 16 },
  { numHeads: 4, numKvHeads: 2, headDim: 24 },
  { numHeads: 6, numKvHeads: 1, headDim: 32 },
  { numHeads: 8, numKvHeads: 2, headDim: 64 },
  { numHeads: 2, numKvHeads: 1, headDim: 80 },
  { numHeads: 3, numKvHeads: 3, headDim: 7 },
]
/** Queries and keys of each sequence: whole prompts, the end of one, one token, none at all, keys that nobody asks for. */
const lengths: readonly (readonly [numQueries: number, numKeys: number])[] = [
  [1, 1],
  [9, 9],
  [33, 33],
  [1, 40],
  [0, 0],
  [13, 70],
  [0, 6],
  [4, 17],
]

function startLoc(counts: readonly number[]): Int32Array {
  const starts = new Int32Array(counts.length + 1)
  counts.forEach((count, s) => (starts[s + 1] = starts[s]! + count))
  return starts
}

function createAttrs(
  sequences: readonly (readonly [number, number])[],
  { numHeads, numKvHeads, headDim }: HeadShape,
  { isCausal, slidingWindow, softcap }: Features,
): AttentionAttrs {
  return {
    queryStartLoc: startLoc(sequences.map(([numQueries]) => numQueries)),
    keyStartLoc: startLoc(sequences.map(([, numKeys]) => numKeys)),
    numHeads,
    numKvHeads,
    scale: headDim ** -0.5,
    isCausal,
    slidingWindow,
    softcap,
  }
}

interface SequenceData {
  readonly query: Float32Array
  readonly key: Float32Array
  readonly value: Float32Array
  readonly length: readonly [number, number]
}

function createSequences(random: RandomData, { numHeads, numKvHeads, headDim }: HeadShape): SequenceData[] {
  return lengths.map((length) => ({
    query: random.floats(length[0] * numHeads * headDim, 2),
    key: random.floats(length[1] * numKvHeads * headDim, 2),
    value: random.floats(length[1] * numKvHeads * headDim),
    length,
  }))
}

function stack(rows: readonly Float32Array[], width: number): Tensor2D {
  const values = Float32Array.from(rows.flatMap((row) => [...row]))
  return tensor2d(values, [values.length / width, width])
}

function createInputs(
  sequences: readonly SequenceData[],
  { numHeads, numKvHeads, headDim }: HeadShape,
  sinks: Tensor1D | null,
): AttentionInputs {
  return {
    query: stack(
      sequences.map(({ query }) => query),
      numHeads * headDim,
    ),
    key: stack(
      sequences.map(({ key }) => key),
      numKvHeads * headDim,
    ),
    value: stack(
      sequences.map(({ value }) => value),
      numKvHeads * headDim,
    ),
    sinks,
  }
}

function disposeInputs({ query, key, value }: AttentionInputs): void {
  for (const tensor of [query, key, value]) tensor.dispose()
}

/** Each sequence's rows of the batch, computed together. */
function attendTogether(
  sequences: readonly SequenceData[],
  shape: HeadShape,
  feature: Features & { readonly sinks: Tensor1D },
): Float32Array[] {
  const attrs = createAttrs(
    sequences.map(({ length }) => length),
    shape,
    feature,
  )
  const inputs = createInputs(sequences, shape, feature.hasSinks ? feature.sinks : null)
  const out = take(attention(inputs, attrs))
  disposeInputs(inputs)
  const width = shape.numHeads * shape.headDim
  return sequences.map((_, s) => out.slice(attrs.queryStartLoc[s]! * width, attrs.queryStartLoc[s + 1]! * width))
}

/** Attention over a cache that holds the very keys and values, all sequences' blocks one after the other. */
function attendPaged(
  pack: BackendPack,
  inputs: AttentionInputs,
  { queryStartLoc, keyStartLoc, numHeads, numKvHeads, scale, slidingWindow, softcap }: AttentionAttrs,
): Tensor2D {
  const blockSize = 16
  const numSeqs = queryStartLoc.length - 1
  const seqLens = Int32Array.from({ length: numSeqs }, (_, s) => keyStartLoc[s + 1]! - keyStartLoc[s]!)
  const maxBlocksPerSeq = Math.ceil(Math.max(...seqLens) / blockSize)
  const numBlocks = numSeqs * maxBlocksPerSeq
  const headDim = inputs.query.shape[1] / numHeads
  const kv = pack.createKvStorage({ dtype: 'float32', numLayers: 1, numBlocks, blockSize, numKvHeads, headDim })
  const slots = [...seqLens].flatMap((seqLen, s) =>
    Array.from({ length: seqLen }, (_, j) => s * maxBlocksPerSeq * blockSize + j),
  )
  kvWrite(inputs.key, inputs.value, { kv, layer: 0, slotMapping: Int32Array.from(slots) })
  const positions = [...seqLens].flatMap((seqLen, s) => {
    const numQueries = queryStartLoc[s + 1]! - queryStartLoc[s]!
    return Array.from({ length: numQueries }, (_, i) => seqLen - numQueries + i)
  })
  const metadata: AttentionMetadata = {
    numTokens: inputs.query.shape[0],
    numSeqs,
    blockSize,
    queryStartLoc,
    seqLens,
    blockTables: Int32Array.from({ length: numBlocks }, (_, i) => i),
    maxBlocksPerSeq,
    slotMapping: new Int32Array(inputs.query.shape[0]),
    positions: Int32Array.from(positions),
  }
  const { query, sinks } = inputs
  const out = pagedAttention(query, { kv, layer: 0, metadata, numHeads, scale, slidingWindow, softcap, sinks })
  kv.dispose()
  return out
}

/** `attention` on sequences of all kinds, and against `pagedAttention` over the same keys and values. */
export function describeAttention(getPack: () => BackendPack): void {
  describe.each(features)('attention, %s', (_, feature) => {
    it.each(headShapes)('equals its composite: $numHeads heads on $numKvHeads, $headDim wide', (shape) => {
      const random = new RandomData(70)
      const sinks = random.vector(shape.numHeads, 3)
      const inputs = createInputs(createSequences(random, shape), shape, feature.hasSinks ? sinks : null)
      const attrs = createAttrs(lengths, shape, feature)
      expectClose(attention(inputs, attrs), attentionComposite(inputs, attrs))
      expectTensorsLeft(() => [attention(inputs, attrs)])
      disposeInputs(inputs)
      sinks.dispose()
    })

    it('gives a sequence the same bits whatever shares its batch', ({ skip }) => {
      if (!getPack().isBatchInvariant) skip('the pack does not promise batch invariance')
      for (const shape of headShapes) {
        const random = new RandomData(71)
        const sinks = random.vector(shape.numHeads, 3)
        const sequences = createSequences(random, shape)
        const together = attendTogether(sequences, shape, { ...feature, sinks })
        sequences.forEach((sequence, s) => {
          if (sequence.length[0] === 0) return
          const [alone] = attendTogether([sequence], shape, { ...feature, sinks })
          expectSameBits(alone!, together[s]!, `sequence ${s}`)
        })
        sinks.dispose()
      }
    })
  })

  it.each(features.filter(([, { isCausal }]) => isCausal))(
    'attention is pagedAttention without a cache: %s',
    (_, feature) => {
      for (const shape of headShapes) {
        const random = new RandomData(72)
        const sinks = random.vector(shape.numHeads, 3)
        const inputs = createInputs(createSequences(random, shape), shape, feature.hasSinks ? sinks : null)
        const attrs = createAttrs(lengths, shape, feature)
        expectClose(attention(inputs, attrs), attendPaged(getPack(), inputs, attrs))
        disposeInputs(inputs)
        sinks.dispose()
      }
    },
  )

  it('attention of no tokens is empty', () => {
    const shape = headShapes[0]!
    const inputs = createInputs([], shape, null)
    for (const sequences of [[], [[0, 0]]] as const) {
      const out = attention(inputs, createAttrs(sequences, shape, plain))
      expect(out.shape).toEqual([0, shape.numHeads * shape.headDim])
      out.dispose()
    }
    disposeInputs(inputs)
  })

  it('attention takes no keys of a neighbour, whatever these hold', () => {
    const shape = headShapes[1]!
    const random = new RandomData(73)
    const [first, second] = [createSequences(random, shape)[1]!, createSequences(random, shape)[3]!]
    const poisoned = { ...first, key: first.key.map(() => NaN), value: first.value.map(() => NaN) }
    const inputs = createInputs([poisoned, second], shape, null)
    const out = take(attention(inputs, createAttrs([first.length, second.length], shape, plain)))
    expect([...out.subarray(-shape.numHeads * shape.headDim)].every(Number.isFinite)).toBe(true)
    disposeInputs(inputs)
  })

  it.each([
    ['more queries than keys', [[3, 2]], {}],
    ['queries without keys', [[1, 0]], { isCausal: false }],
    ['a window of 0', [[2, 2]], { slidingWindow: 0 }],
    ['a softcap of 0', [[2, 2]], { softcap: 0 }],
    ['heads that do not share keys evenly', [[2, 2]], { numHeads: 3, numKvHeads: 2 }],
  ] as const)('attention refuses %s', (_, sequences, wrong) => {
    const shape = { numHeads: 6, numKvHeads: 2, headDim: 4 }
    const attrs = { ...createAttrs(sequences, shape, plain), ...wrong }
    const random = new RandomData(74)
    const rows = sequences.map(([numQueries, numKeys]) => ({
      query: random.floats(numQueries * 24),
      key: random.floats(numKeys * 8),
      value: random.floats(numKeys * 8),
      length: [numQueries, numKeys] as const,
    }))
    const inputs = createInputs(rows, shape, null)
    expect(() => attention(inputs, attrs)).toThrow('attention: ')
    disposeInputs(inputs)
  })
}

/** For packs whose two kernels keep one order of arithmetic: not only close, but the same bits. */
export function describeAttentionBits(createPack: () => Promise<BackendPack>): void {
  it.each(features.filter(([, { isCausal }]) => isCausal))(
    'attention has the bits of pagedAttention: %s',
    async (_, feature) => {
      const pack = await createPack()
      expect(await setBackend(pack.name)).toBe(true)
      for (const shape of headShapes) {
        const random = new RandomData(75)
        const sinks = random.vector(shape.numHeads, 3)
        const inputs = createInputs(createSequences(random, shape), shape, feature.hasSinks ? sinks : null)
        const attrs = createAttrs(lengths, shape, feature)
        expectSameBits(take(attention(inputs, attrs)), take(attendPaged(pack, inputs, attrs)), shape.headDim.toString())
        disposeInputs(inputs)
        sinks.dispose()
      }
    },
  )
}
