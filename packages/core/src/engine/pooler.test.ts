import * as tf from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { createBackend } from '../backends/backend.ts'
import type { ForwardContext } from '../layers/forward-context.ts'
import type { PoolingHeads } from '../models/model.ts'
import { defaultSamplingParams } from '../sampling-params.ts'
import type { SequencePooling } from '../sequence/sequence-pooling.ts'
import { type BatchEntry, SequenceRow } from './input-batch.ts'
import { Pooler } from './pooler.ts'

const plain: SequencePooling = { head: 'embed', type: 'last', dimensions: null, activation: 'none' }
const numTokens = 5
/** Row i of a prompt's hidden states. */
const stateOf = (i: number): number[] => [i + 1, -2 * i, 0.1 * i]
const context = {} as unknown as ForwardContext // only heads look at it, and those of these tests do not

function rowOf(id: string, pooling: Partial<SequencePooling> | null): SequenceRow {
  const data = {
    id,
    tokenIds: Array<number>(numTokens).fill(1),
    numPromptTokens: numTokens,
    blockIds: [],
    eosTokenIds: [],
  }
  const params = defaultSamplingParams
  return new SequenceRow(
    { ...data, params, numComputedTokens: 0, ...(pooling && { pooling: { ...plain, ...pooling } }) },
    10,
  )
}

/** One step: of each row so many more tokens, in one batch. */
function step(
  pooler: Pooler,
  parts: readonly (readonly [SequenceRow, number])[],
  bad?: number,
): ReturnType<Pooler['run']> {
  const entries: BatchEntry[] = []
  const states: number[][] = []
  for (const [row, count] of parts) {
    entries.push({ row, start: states.length, numTokens: count, draftTokenIds: [] })
    for (let i = 0; i < count; i++) states.push(stateOf(row.numComputedTokens + i))
  }
  if (bad !== undefined) states[bad] = [Number.NaN, 0, 0]
  const hidden = tf.tensor2d(states)
  const result = pooler.run({ hidden, context }, entries)
  hidden.dispose()
  for (const [row, count] of parts) row.numComputedTokens += count
  return result
}

function vectorOf(pooling: Partial<SequencePooling>, parts: readonly number[] = [numTokens], heads?: PoolingHeads) {
  const pooler = new Pooler(heads)
  const row = rowOf('a', pooling)
  const results = parts.map((count) => step(pooler, [[row, count]]))
  for (const { pooled } of results.slice(0, -1)) expect(pooled).toEqual([])
  const [{ data, shape } = { data: new Float32Array(), shape: [] }] = results.at(-1)!.pooled
  return { data: Array.from(data), shape }
}

const float = (values: readonly number[]): number[] => Array.from(Float32Array.from(values))

describe('Pooler', () => {
  beforeAll(async () => void (await createBackend('cpu')))

  it('takes the hidden states that a type says, in whatever parts a prompt comes', () => {
    const mean = float(
      stateOf(2).map((_, k) => [0, 1, 2, 3, 4].reduce((sum, i) => sum + Math.fround(stateOf(i)[k]!), 0) / 5),
    )
    const expected = {
      cls: { data: float(stateOf(0)), shape: [3] },
      last: { data: float(stateOf(4)), shape: [3] },
      mean: { data: mean, shape: [3] },
      all: { data: float([0, 1, 2, 3, 4].flatMap(stateOf)), shape: [5, 3] },
    }
    for (const [type, result] of Object.entries(expected))
      for (const parts of [[5], [1, 4], [2, 2, 1], [4, 1]])
        expect(vectorOf({ type: type as SequencePooling['type'] }, parts), type).toEqual(result)
  })

  it('cuts, then activates', () => {
    const [a, b] = stateOf(4)
    expect(vectorOf({ dimensions: 2 }).data).toEqual([a, b])
    const norm = Math.hypot(a!, b!)
    expect(vectorOf({ dimensions: 2, activation: 'normalize' }).data).toEqual(float([a! / norm, b! / norm]))
    expect(vectorOf({ dimensions: 1, activation: 'sigmoid' }).data).toEqual(float([1 / (1 + Math.exp(-5))]))
    const weights = [1, Math.exp(b! - a!)]
    const sum = weights[0]! + weights[1]!
    expect(vectorOf({ dimensions: 2, activation: 'softmax' }).data).toEqual(
      float(weights.map((weight) => weight / sum)),
    )
  })

  it('leaves a vector of zeros one', () => {
    const zeros: PoolingHeads = { embed: (x) => tf.zerosLike(x), classify: null }
    expect(vectorOf({ activation: 'normalize' }, [5], zeros).data).toEqual([0, 0, 0])
  })

  it('applies layers to what was pooled, or to each token', () => {
    const heads: PoolingHeads = { embed: null, classify: (x) => tf.sum(x, 1, true) as tf.Tensor2D }
    const sumOf = (i: number): number => stateOf(i).reduce((sum, x) => sum + x)
    expect(vectorOf({ head: 'classify' }, [3, 2], heads).data[0]).toBeCloseTo(sumOf(4), 5)
    const all = vectorOf({ head: 'classify', type: 'all' }, [3, 2], heads)
    expect(all.shape).toEqual([5, 1])
    all.data.forEach((value, i) => expect(value).toBeCloseTo(sumOf(i), 5))
    expect(vectorOf({ type: 'mean' }, [5], heads).shape).toEqual([3])
  })

  it('passes over what generates, and frees what it makes', () => {
    const pooler = new Pooler({ embed: null, classify: (x) => tf.add(x, 1) })
    const before = tf.memory().numTensors
    const [row, other] = [rowOf('a', { head: 'classify', type: 'mean' }), rowOf('b', { type: 'all' })]
    const { pooled } = step(pooler, [
      [rowOf('c', null), 5],
      [row, 5],
      [rowOf('d', null), 2],
      [other, 5],
    ])
    expect(pooled.map(({ id, shape }) => [id, shape])).toEqual([
      ['a', [3]],
      ['b', [5, 3]],
    ])
    expect(tf.memory().numTensors).toBe(before)
  })

  it('fails alone where a vector has what is no number', () => {
    const [bad, good] = [rowOf('bad', {}), rowOf('good', {})]
    const { pooled, failed } = step(
      new Pooler(),
      [
        [bad, 5],
        [good, 5],
      ],
      4,
    )
    expect(pooled.map(({ id }) => id)).toEqual(['good'])
    expect(failed).toMatchObject([{ id: 'bad', error: { name: 'InvalidLogitsError' } }])
  })
})
