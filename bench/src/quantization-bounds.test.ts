import type { ComparedModel, Estimate, Evaluation } from '@octavo/quant'
import { expect, it } from 'vitest'
import { boundsOf } from './quantization-bounds.ts'
import { quantizationVariants } from './quantization-variants.ts'

const exact = (value: number): Estimate => ({ value, low: value, high: value })

function modelOf(model: string, kl: number, isWithinOriginal = true): ComparedModel {
  const divergence = {
    numTokens: 1,
    mean: exact(kl),
    p50: kl,
    p99: kl,
    max: kl,
    top1Agreement: exact(1),
    histogram: [],
  }
  return {
    model,
    weightBytes: 1,
    fileBytes: 1,
    texts: [],
    tasks: [],
    speed: null,
    divergences: [{ name: 'answers', divergence, perplexityRatio: exact(1) }],
    taskComparisons: [{ name: 'qa', difference: exact(0), isWithinOriginal }],
    layerErrors: null,
  }
}

function evaluationOf(kl: Readonly<Record<string, number>>, isWithinOriginal = true): Evaluation {
  const models = Object.keys(quantizationVariants).map((name) => modelOf(name, kl[name] ?? 1, isWithinOriginal))
  return { models } as unknown as Evaluation // the bounds look at nothing else
}

it('are held where searching loses as little as it must', () => {
  const bounds = boundsOf(evaluationOf({ 'int4 GPTQ': 0.7, 'int4 AWQ': 0.5 }))
  expect(bounds).toHaveLength(5)
  expect(bounds.every(({ isHeld }) => isHeld)).toBe(true)
  expect(bounds[1]!.text).toBe('KL(int4 GPTQ) is 0.700 of KL(int4 RTN); held: at most 0.7')
})

it('say which are not', () => {
  const held = (kl: Record<string, number>, isWithin = true): boolean[] =>
    boundsOf(evaluationOf({ 'int4 GPTQ': 0.1, 'int4 AWQ': 0.1, ...kl }, isWithin)).map(({ isHeld }) => isHeld)
  expect(held({}, false)).toEqual([false, true, true, true, true])
  expect(held({ 'int4 AWQ': 0.71 })).toEqual([true, true, false, true, true])
  expect(held({ 'int3 g32 GPTQ': 1.01, 'int4 g32 GPTQ': NaN })).toEqual([true, true, true, false, false])
  expect(boundsOf({ models: [] } as unknown as Evaluation).some(({ isHeld }) => isHeld)).toBe(false)
})
