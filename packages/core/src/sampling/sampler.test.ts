import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { resolveSamplingParams, type SamplingParamsInput } from '../sampling-params.ts'
import { computeLogprobs } from './logprobs.ts'
import { nextTokenProbs, sampleToken } from './sampler.ts'
import type { SamplingState } from './logits-processors.ts'

interface GoldenCase {
  readonly vector: number
  readonly params: Record<string, unknown>
  readonly prompt_ids: number[]
  readonly output_ids: number[]
  readonly probs: number[]
}

const golden = JSON.parse(
  readFileSync(new URL('../../../../fixtures/sampling/golden.json', import.meta.url), 'utf8'),
) as { vectors: number[][]; vocab_size: number; cases: GoldenCase[] }

function stateOf(
  input: SamplingParamsInput,
  promptIds: number[] = [],
  outputIds: number[] = [],
  vocabSize = 50,
): SamplingState {
  const params = resolveSamplingParams({ maxTokens: null, ...input }, { vocabSize, maxLogprobs: -1 })
  return { params, tokenIds: [...promptIds, ...outputIds], numPromptTokens: promptIds.length }
}

const camelCase = (name: string): string => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())

describe('the distribution of the next token', () => {
  it.each(golden.cases.map((c, i) => [i, JSON.stringify(c.params), c] as const))('golden case %i %s', (_, __, c) => {
    const input = Object.fromEntries(Object.entries(c.params).map(([name, value]) => [camelCase(name), value]))
    const probs = nextTokenProbs(
      Float32Array.from(golden.vectors[c.vector]!),
      stateOf(input, c.prompt_ids, c.output_ids),
      [],
    )
    const error = Math.max(...c.probs.map((p, i) => Math.abs(p - probs[i]!)))
    expect(error).toBeLessThan(1e-5)
  })

  it('keeps the largest token under any truncation', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.integer({ min: -240, max: 240 }).map((x) => x / 8),
          { minLength: 1, maxLength: 300 },
        ),
        fc.record({
          topP: fc.double({ min: 1e-9, max: 1, noNaN: true }),
          topK: fc.integer({ min: 0, max: 400 }),
          minP: fc.double({ min: 0, max: 1, noNaN: true }),
          temperature: fc.double({ min: 0.01, max: 2, noNaN: true }),
        }),
        (values, params) => {
          const logits = Float32Array.from(values)
          const best = Math.max(...logits)
          const probs = nextTokenProbs(logits.slice(), stateOf(params, [], [], values.length), [])
          expect(probs.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 9)
          expect(probs[logits.indexOf(best)]).toBeGreaterThan(0)
          const dropped = Math.max(-Infinity, ...logits.filter((_, i) => probs[i] === 0))
          const kept = Math.min(...logits.filter((_, i) => probs[i]! > 0))
          expect(dropped).toBeLessThanOrEqual(kept)
        },
      ),
    )
  })

  it('top-p agrees with a full sort', () => {
    fc.assert(
      fc.property(
        fc.array(fc.float({ min: -20, max: 20, noNaN: true }), { minLength: 2, maxLength: 200 }),
        fc.double({ min: 0.01, max: 0.999, noNaN: true }),
        (values, topP) => {
          const logits = Float32Array.from(values)
          const probs = nextTokenProbs(logits.slice(), stateOf({ topP }, [], [], values.length), [])
          const max = Math.max(...logits)
          const weights = Array.from(logits, (x) => Math.exp(x - max))
          const sum = weights.reduce((a, b) => a + b, 0)
          const order = [...weights.keys()].sort((a, b) => weights[b]! - weights[a]! || a - b)
          let mass = 0
          const kept = new Set<number>()
          for (const i of order) {
            if (kept.size > 0 && mass >= topP * sum * (1 + 1e-12)) break
            kept.add(i)
            mass += weights[i]!
          }
          const numKept = probs.filter((p) => p > 0).length
          expect(Math.abs(numKept - kept.size)).toBeLessThanOrEqual(1) // the last one may fall within rounding
        },
      ),
    )
  })

  it('survives a row in which everything is banned', () => {
    const state = stateOf({ allowedTokenIds: [3], badWordsTokenIds: [[3]] })
    expect(sampleToken(new Float32Array(50), state, { eosTokenIds: [], seed: 1 })).toBe(0)
  })
})

describe('sampleToken', () => {
  const logits = Float32Array.from({ length: 50 }, (_, i) => Math.sin(i * 1.7) * 3)

  it('draws with the frequencies of the distribution', () => {
    const state = stateOf({ temperature: 1.3, topK: 12 })
    const probs = nextTokenProbs(logits.slice(), state, [])
    const counts = new Float64Array(50)
    const draws = 20_000
    for (let seed = 0; seed < draws; seed++) counts[sampleToken(logits.slice(), state, { eosTokenIds: [], seed })]!++
    const chiSquare = probs.reduce((sum, p, i) => (p > 0 ? sum + (counts[i]! - draws * p) ** 2 / (draws * p) : sum), 0)
    expect(chiSquare).toBeLessThan(31.3) // 11 degrees of freedom, p = 0.001
  })

  it('consecutive draws of one seed are independent of each other', () => {
    const state = (n: number): SamplingState =>
      stateOf(
        {},
        [1],
        Array.from({ length: n }, () => 0),
      )
    const flat = new Float32Array(50)
    const drawn = Array.from({ length: 5000 }, (_, n) =>
      sampleToken(flat.slice(), state(n), { eosTokenIds: [], seed: 7 }),
    )
    const counts = new Float64Array(50)
    for (const id of drawn) counts[id]!++
    const chiSquare = counts.reduce((sum, c) => sum + (c - 100) ** 2 / 100, 0)
    expect(chiSquare).toBeLessThan(85.4) // 49 degrees of freedom, p = 0.001
    const pairs = drawn.slice(1).filter((id, i) => id === drawn[i]).length
    expect(pairs).toBeGreaterThan(50)
    expect(pairs).toBeLessThan(160)
  })

  it('repeats with the same seed and differs with another', () => {
    const run = (seed: number): number[] =>
      Array.from({ length: 20 }, (_, n) =>
        sampleToken(
          logits.slice(),
          stateOf(
            {},
            [],
            Array.from({ length: n }, () => 1),
          ),
          { eosTokenIds: [], seed },
        ),
      )
    expect(run(42)).toEqual(run(42))
    expect(run(42)).not.toEqual(run(43))
    expect(run(42)).not.toEqual(run(42 + 2 ** 40))
  })

  it('cannot end before minTokens', () => {
    const peaked = new Float32Array(50)
    peaked[9] = 50
    peaked[4] = 20
    const pick = (numOutput: number): number =>
      sampleToken(
        peaked.slice(),
        stateOf(
          { temperature: 0, minTokens: 2 },
          [1],
          Array.from({ length: numOutput }, () => 0),
        ),
        { eosTokenIds: [9], seed: 0 },
      )
    expect([pick(0), pick(1), pick(2)]).toEqual([4, 4, 9])
  })
})

describe('computeLogprobs', () => {
  it('reports chosen and top tokens with ranks', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -5, max: 5 }), { minLength: 3, maxLength: 200 }),
        fc.nat(),
        fc.constantFrom(0, 1, 5, 20, 150, -1),
        (values, pick, n) => {
          const logits = Float32Array.from(values)
          const chosenId = pick % values.length
          const { chosen, top } = computeLogprobs(logits, chosenId, n)
          const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b)
          expect(top.map((t) => t.tokenId)).toEqual(order.slice(0, n === -1 ? undefined : n))
          expect(chosen.rank).toBe(order.indexOf(chosenId) + 1)
          const total = computeLogprobs(logits, 0, -1).top.reduce((sum, t) => sum + Math.exp(t.logprob), 0)
          expect(total).toBeCloseTo(1, 6)
        },
      ),
    )
  })
})
