import { setBackend, tensor2d } from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { hasKernel } from '../ops/op.ts'
import { sample, sampleKernel, type TokenDraw } from '../ops/sample.ts'
import { numMaskWords } from '../ops/token-mask.ts'
import { RandomData } from '../ops/random-data.case.ts'
import { resolveSamplingParams, type SamplingParamsInput } from '../sampling-params.ts'
import { drawToken } from './draw-token.ts'
import { createSamplingState, describeDraw, type SamplingState } from './sampling-state.ts'

const eosTokenIds = [2, 7]

/** Rows of logits as models and mishaps make them. */
const shapes: Readonly<Record<string, (random: RandomData, length: number) => Float32Array>> = {
  uniform: (random, length) => random.floats(length, 4),
  'peaked, a long tail': (random, length) =>
    Float32Array.from({ length }, () => 12 * Math.log(1e-9 + random.uniform()) + 20),
  flat: (_, length) => new Float32Array(length).fill(1.25),
  'many ties': (random, length) => Float32Array.from({ length }, () => random.integer(-6, 6) / 2),
  'nearly flat': (random, length) => random.floats(length, 1e-4),
  'banned tokens': (random, length) =>
    random.floats(length, 6).map((logit) => (random.uniform() < 0.7 ? -Infinity : logit)),
  'NaN among them': (random, length) => random.floats(length, 3).map((logit) => (random.uniform() < 0.1 ? NaN : logit)),
  'all banned': (_, length) => new Float32Array(length).fill(-Infinity),
  'one infinite': (random, length) => random.floats(length).fill(Infinity, length >> 1, (length >> 1) + 1),
  'far apart': (random, length) => random.floats(length, 3e38),
}
const shapeNames = Object.keys(shapes)

function pick<T>(random: RandomData, choices: readonly T[]): T {
  return choices[random.integer(0, choices.length - 1)]!
}

function randomParams(random: RandomData, vocabSize: number): SamplingParamsInput {
  const isOn = random.uniform() < 0.5
  return {
    temperature: pick(random, [0, 0.01, 0.3, 0.8, 1, 2]),
    topP: pick(random, [1, 1, 0.95, 0.5, 0.999999, 1e-9, random.uniform() || 1]),
    topK: pick(random, [0, 0, 1, 20, 700, 1500, vocabSize - 1, vocabSize + 5]),
    minP: pick(random, [0, 0, 0.05, 1, random.uniform()]),
    repetitionPenalty: isOn ? pick(random, [1, 1.1, 0.7]) : 1,
    frequencyPenalty: isOn ? pick(random, [0, 0.4, -2]) : 0,
    presencePenalty: isOn ? pick(random, [0, 1.5, -0.3]) : 0,
    minTokens: pick(random, [0, 10]),
    stopTokenIds: [3],
    logitBias: random.uniform() < 0.5 ? null : { 0: 4, 2: -100, [vocabSize - 1]: 250, 5: -Infinity },
    badWordsTokenIds: random.uniform() < 0.5 ? [] : [[4], [8, 9], [8, 9, 10]],
  }
}

/** What a grammar allows: little, nearly all, anything, nothing; words for all of the vocabulary, or less. */
function randomMask(random: RandomData, vocabSize: number): Int32Array {
  const numWords = numMaskWords(vocabSize)
  const density = pick(random, [0, 0.01, 0.5, 0.99])
  const word = (): number => {
    if (random.uniform() < 0.7) return density > 0.5 ? -1 : 0
    return Array.from({ length: 32 }, () => random.uniform() < density).reduce(
      (bits, is) => (bits << 1) | Number(is),
      0,
    )
  }
  return Int32Array.from({ length: pick(random, [numWords, numWords, Math.ceil(numWords / 2), 1]) }, word)
}

/** A maker of equal states. */
function randomState(random: RandomData, vocabSize: number): () => SamplingState {
  const tokens = (count: number): number[] =>
    Array.from({ length: count }, () => random.integer(0, Math.min(vocabSize - 1, 300)))
  const params = resolveSamplingParams(
    {
      maxTokens: null,
      seed: random.integer(0, 2 ** 40),
      ...randomParams(random, vocabSize),
      allowedTokenIds: pick(random, [null, null, [4], tokens(random.integer(1, 200))]),
    },
    { vocabSize, maxLogprobs: -1 },
  )
  const promptIds = tokens(random.integer(1, 200))
  const tokenIds = [...promptIds, ...tokens(random.integer(0, 30)), 8, 9]
  const numPromptTokens = promptIds.length
  const grammarMask = random.uniform() < 0.5 ? null : randomMask(random, vocabSize)
  return () => ({ ...createSamplingState({ params, tokenIds, numPromptTokens, eosTokenIds, vocabSize }), grammarMask })
}

function drawOf(temperature: number, vocabSize: number): TokenDraw {
  const params = resolveSamplingParams({ temperature }, { vocabSize, maxLogprobs: -1 })
  return describeDraw(createSamplingState({ params, tokenIds: [1], numPromptTokens: 1, eosTokenIds, vocabSize }))
}

/** One batch: row by row the kernel must draw what the host draws. */
function expectHostTokens(random: RandomData, numRows: number, vocabSize: number): void {
  const names = Array.from({ length: numRows }, () => pick(random, shapeNames))
  const rows = names.map((name) => shapes[name]!(random, vocabSize))
  const states = rows.map(() => randomState(random, vocabSize))
  const values = new Float32Array(numRows * vocabSize)
  rows.forEach((row, i) => values.set(row, i * vocabSize))
  const logits = tensor2d(values.slice(), [numRows, vocabSize])
  // In any order, and not all of them.
  const order = random.permutation(numRows).slice(0, Math.max(1, numRows - 1))
  const sampleRows = order.map((row) => {
    const state = states[row]!()
    state.counts.update(state.tokenIds.slice(0, 5), state.numPromptTokens) // the rest comes later, as it does from step to step
    return { row, draw: describeDraw(state) }
  })
  const drawn = sample(logits, sampleRows)
  order.forEach((row, i) => {
    const state = states[row]!()
    const expected = drawToken(rows[row]!.slice(), describeDraw(state))
    const { temperature, topP, topK, minP, allowedTokenIds } = state.params
    const truncation = `T ${temperature} topP ${topP} topK ${topK} minP ${minP}`
    const masks = `${allowedTokenIds?.length} allowed, ${state.grammarMask?.length} words`
    const what = `${names[row]}, ${vocabSize} tokens, ${truncation}, ${masks}`
    expect(drawn[i], what).toBe(expected)
  })
  const after = logits.dataSync<'float32'>()
  expect(
    Buffer.compare(Buffer.from(after.buffer, after.byteOffset, after.byteLength), Buffer.from(values.buffer)),
  ).toBe(0)
  logits.dispose()
}

/** The `sample` kernel of a backend that has one, against the host's sampler: the same token for the same seed and logits. */
export function describeSampling(name: string, createPack: () => Promise<BackendPack>): void {
  describe(`sampling on ${name}`, () => {
    beforeAll(async () => {
      const pack = await createPack()
      expect(await setBackend(pack.name)).toBe(true)
      expect(hasKernel(sampleKernel)).toBe(true)
    })

    it.each([
      [100, 40],
      [255, 20],
      [257, 20],
      [4096, 10],
      [5003, 10],
      [32_000, 6],
    ])('draws the tokens of the host: vocabularies of %i', (vocabSize, numRuns) => {
      const random = new RandomData(vocabSize)
      for (let i = 0; i < numRuns; i++) expectHostTokens(random, random.integer(1, 12), vocabSize)
    })

    it.each([1, 3, 12])('draws the tokens of the host: 151936 tokens, %i rows', (numRows) => {
      const random = new RandomData(90 + numRows)
      for (let i = 0; i < Math.ceil(8 / numRows); i++) expectHostTokens(random, numRows, 151_936)
    })

    it('draws what the mask allows alone, whatever is elsewhere', () => {
      const vocabSize = 5003
      const random = new RandomData(4)
      const positions = [0, 31, 32, 4095, 4096, 4992, vocabSize - 1]
      const masks = positions.map((id) =>
        Int32Array.from({ length: (id >>> 5) + 1 }, (_, w) => (w === id >>> 5 ? 1 << (id & 31) : 0)),
      )
      const logits = tensor2d(
        Float32Array.from(
          positions.flatMap((id) => [
            ...random
              .floats(vocabSize, 4)
              .fill(NaN, 0, id)
              .fill(Infinity, id + 1),
          ]),
        ),
        [positions.length, vocabSize],
      )
      for (const temperature of [0, 0.7]) {
        const draw = drawOf(temperature, vocabSize)
        const drawn = (masked: readonly Int32Array[]): unknown[] =>
          sample(
            logits,
            masked.map((mask, row) => ({ row, draw: { ...draw, mask } })),
          )
        expect(drawn(masks)).toEqual(positions)
        expect(drawn(masks.map((mask) => mask.map(() => 0)))).toEqual(positions.map(() => 'all-banned'))
        expect(drawn(masks.map((mask) => mask.map(() => -1)))[1]).toBe('nan')
      }
      expect(() => sample(logits, [{ row: 0, draw: { ...drawOf(0, vocabSize), mask: new Int32Array(200) } }])).toThrow(
        '200 words',
      )
      logits.dispose()
    })

    it('has no token where all are banned, or a logit is NaN: wherever it is, in a greedy row or a long one', () => {
      const random = new RandomData(3)
      const positions = [0, 255, 256, 4095, 4999]
      const rows = [...positions.map((at) => random.floats(5000, 4).fill(NaN, at, at + 1)), random.floats(5000, 4)]
      rows.push(new Float32Array(5000).fill(-Infinity))
      const logits = tensor2d(Float32Array.from(rows.flatMap((row) => [...row])), [rows.length, 5000])
      for (const temperature of [0, 0.7]) {
        const drawn = sample(
          logits,
          rows.map((_, row) => ({ row, draw: drawOf(temperature, 5000) })),
        )
        expect(drawn).toEqual([...positions.map(() => 'nan'), expect.any(Number), 'all-banned'])
      }
      logits.dispose()
    })
  })
}
