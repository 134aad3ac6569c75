import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { resolveSamplingParams, type SamplingParamsInput } from '../sampling-params.ts'
import { computeLogprobs } from './logprobs.ts'
import { drawToken, nextTokenProbs } from './draw-token.ts'
import { createSamplingState, describeDraw } from './sampling-state.ts'
import type { TokenDraw } from '../ops/sample.ts'

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

interface Context {
  readonly promptIds?: readonly number[]
  readonly outputIds?: readonly number[]
  readonly eosTokenIds?: readonly number[]
  readonly vocabSize?: number
}

function drawOf(input: SamplingParamsInput, context: Context = {}): TokenDraw {
  const { promptIds = [], outputIds = [], eosTokenIds = [], vocabSize = 50 } = context
  const params = resolveSamplingParams({ maxTokens: null, ...input }, { vocabSize, maxLogprobs: -1 })
  const tokenIds = [...promptIds, ...outputIds]
  return describeDraw(
    createSamplingState({ params, tokenIds, numPromptTokens: promptIds.length, eosTokenIds, vocabSize }),
  )
}

const camelCase = (name: string): string => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())

describe('the distribution of the next token', () => {
  it.each(golden.cases.map((c, i) => [i, JSON.stringify(c.params), c] as const))('golden case %i %s', (_, __, c) => {
    const input = Object.fromEntries(Object.entries(c.params).map(([name, value]) => [camelCase(name), value]))
    const probs = nextTokenProbs(
      Float32Array.from(golden.vectors[c.vector]!),
      drawOf(input, { promptIds: c.prompt_ids, outputIds: c.output_ids }),
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
          const probs = nextTokenProbs(logits.slice(), drawOf(params, { vocabSize: values.length }))
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
          const probs = nextTokenProbs(logits.slice(), drawOf({ topP }, { vocabSize: values.length }))
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
})

describe('drawToken', () => {
  const logits = Float32Array.from({ length: 50 }, (_, i) => Math.sin(i * 1.7) * 3)

  const drawn = (row: Float32Array, draw: TokenDraw): number => {
    const token = drawToken(row.slice(), draw)
    if (typeof token === 'string') throw new Error(token)
    return token
  }

  it.each([0, 0.7])('draws no token where all are banned, or a logit is NaN: temperature %d', (temperature) => {
    const banned = drawOf({ temperature, allowedTokenIds: [3], badWordsTokenIds: [[3]] })
    expect(drawToken(logits.slice(), banned)).toBe('all-banned')
    expect(drawToken(new Float32Array(50).fill(-Infinity), drawOf({ temperature }))).toBe('all-banned')
    const faulty = logits.slice()
    faulty[49] = NaN
    expect(drawToken(faulty.slice(), drawOf({ temperature }))).toBe('nan')
    expect(drawToken(faulty.slice(), drawOf({ temperature, badWordsTokenIds: [[49]] }))).not.toBe('nan')
    expect(drawToken(faulty.slice(), drawOf({ temperature, allowedTokenIds: [7] }))).toBe(7)
  })

  it('takes an infinite logit', () => {
    const sure = logits.slice()
    sure[11] = Infinity
    expect([0, 1].map((temperature) => drawToken(sure.slice(), drawOf({ temperature })))).toEqual([11, 11])
  })

  it('draws with the frequencies of the distribution', () => {
    const draw = (seed: number): TokenDraw => drawOf({ temperature: 1.3, topK: 12, seed })
    const probs = nextTokenProbs(logits.slice(), draw(0))
    const counts = new Float64Array(50)
    const draws = 20_000
    for (let seed = 0; seed < draws; seed++) counts[drawn(logits, draw(seed))]!++
    const chiSquare = probs.reduce((sum, p, i) => (p > 0 ? sum + (counts[i]! - draws * p) ** 2 / (draws * p) : sum), 0)
    expect(chiSquare).toBeLessThan(31.3) // 11 degrees of freedom, p = 0.001
  })

  it('consecutive draws of one seed are independent of each other', () => {
    const outputIds = new Array<number>(5000).fill(0)
    const flat = new Float32Array(50)
    const ids = outputIds.map((_, n) =>
      drawn(flat, drawOf({ seed: 7 }, { promptIds: [1], outputIds: outputIds.slice(0, n) })),
    )
    const counts = new Float64Array(50)
    for (const id of ids) counts[id]!++
    const chiSquare = counts.reduce((sum, c) => sum + (c - 100) ** 2 / 100, 0)
    expect(chiSquare).toBeLessThan(85.4) // 49 degrees of freedom, p = 0.001
    const pairs = ids.slice(1).filter((id, i) => id === ids[i]).length
    expect(pairs).toBeGreaterThan(50)
    expect(pairs).toBeLessThan(160)
  })

  it('repeats with the same seed and differs with another', () => {
    const run = (seed: number): number[] =>
      Array.from({ length: 20 }, (_, n) => drawn(logits, drawOf({ seed }, { outputIds: new Array<number>(n).fill(1) })))
    expect(run(42)).toEqual(run(42))
    expect(run(42)).not.toEqual(run(43))
    expect(run(42)).not.toEqual(run(42 + 2 ** 40))
  })

  it('cannot end before minTokens', () => {
    const peaked = new Float32Array(50)
    peaked[9] = 50
    peaked[4] = 20
    const pick = (numOutput: number): number => {
      const outputIds = new Array<number>(numOutput).fill(0)
      return drawn(peaked, drawOf({ temperature: 0, minTokens: 2 }, { promptIds: [1], outputIds, eosTokenIds: [9] }))
    }
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
