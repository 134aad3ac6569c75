import { describe, expect, it } from 'vitest'
import { DivergenceCollector, logHistogram, tokenDivergence, tokenLoss } from './divergence.ts'

const softmax = (logits: readonly number[]): number[] => {
  const sum = logits.reduce((total, x) => total + Math.exp(x), 0)
  return logits.map((x) => Math.exp(x) / sum)
}

describe('tokenDivergence', () => {
  it('is the sum of p (ln p − ln q)', () => {
    const [a, b] = [
      [1, -2, 0.5, 3],
      [0.5, -1, 2.5, 2],
    ]
    const [p, q] = [softmax(a), softmax(b)]
    const expected = p.reduce((sum, pi, i) => sum + pi * Math.log(pi / q[i]!), 0)
    const { kl, isSameTop, originalLoss, loss } = tokenDivergence(Float32Array.from(a), Float32Array.from(b), 1)
    expect(kl).toBeCloseTo(expected, 12)
    expect(isSameTop).toBe(false)
    expect(originalLoss).toBeCloseTo(-Math.log(p[1]!), 12)
    expect(loss).toBeCloseTo(-Math.log(q[1]!), 12)
    expect(tokenLoss(Float32Array.from(b), 1)).toBeCloseTo(-Math.log(q[1]!), 12)
  })

  it('is nothing for equal rows, wherever they lie', () => {
    const row = Float32Array.of(500, 499, -700)
    expect(tokenDivergence(row, row, 0)).toMatchObject({ kl: 0, isSameTop: true })
    expect(
      tokenDivergence(
        row,
        Float32Array.from(row, (x) => x - 900),
        0,
      ).kl,
    ).toBeCloseTo(0, 12)
  })

  it('bears banned tokens, and shows what is no distribution', () => {
    const banned = Float32Array.of(-Infinity, 0, 0)
    expect(tokenDivergence(banned, Float32Array.of(-Infinity, 0, 0), 1).kl).toBe(0)
    expect(tokenDivergence(banned, Float32Array.of(0, 0, 0), 1).kl).toBeCloseTo(Math.log(1.5), 12)
    expect(tokenDivergence(Float32Array.of(0, 0, 0), banned, 1).kl).toBe(Infinity)
    expect(tokenDivergence(Float32Array.of(NaN, 0), Float32Array.of(0, 0), 1).kl).toBeNaN()
  })
})

it('the collector summarizes all tokens, and compares losses token by token', () => {
  const collector = new DivergenceCollector()
  for (let s = 0; s < 10; s++)
    collector.addSequence(
      Array.from({ length: 10 }, (_, i) => ({ kl: s * 10 + i, isSameTop: s > 0, originalLoss: 1 + s, loss: 1.5 + s })),
    )
  const summary = collector.summarize(1)
  expect(summary).toMatchObject({ numTokens: 100, p50: 49.5, p99: 98.01, max: 99 })
  expect(summary.mean.value).toBe(49.5)
  expect(summary.top1Agreement.value).toBe(0.9)
  const { loss, difference } = collector.losses(1)
  expect(loss.value).toBe(6)
  expect(loss.high).toBeGreaterThan(6.5)
  expect(difference).toEqual({ value: 0.5, low: 0.5, high: 0.5 })
})

it('logHistogram counts every value once', () => {
  const bins = logHistogram([0, 1e-9, 1.1, 1.2, 1e-3 * 1.01, 1e9])
  const filled = bins.filter(({ count }) => count > 0)
  expect(filled.map(({ count }) => count)).toEqual([2, 1, 2, 1])
  expect(filled[1]!.low).toBeCloseTo(1e-3, 12)
  expect(filled[2]!.low).toBeCloseTo(1, 12)
})
