import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { expertRange, planExchange, tokenSlice, type ExpertExchange } from './expert-exchange.ts'

const cases = fc
  .record({
    size: fc.integer({ min: 1, max: 5 }),
    numExperts: fc.integer({ min: 5, max: 9 }),
    topK: fc.integer({ min: 1, max: 4 }),
    numTokens: fc.integer({ min: 1, max: 12 }),
  })
  .chain((sizes) => {
    const experts = Array.from({ length: sizes.numExperts }, (_, e) => e)
    const chosen = fc.subarray(experts, { minLength: sizes.topK, maxLength: sizes.topK })
    return fc
      .array(chosen, { minLength: sizes.numTokens, maxLength: sizes.numTokens })
      .map((choices) => ({ ...sizes, expertIds: Int32Array.from(choices.flat()) }))
  })

/** Cuts a list into one piece per rank. */
function pieces<T>(values: readonly T[], counts: readonly number[]): T[][] {
  let from = 0
  return counts.map((count) => values.slice(from, (from += count)))
}

describe('planExchange', () => {
  it('brings every token to each of its experts once, and every result to its place', () => {
    fc.assert(
      fc.property(cases, ({ size, numExperts, topK, numTokens, expertIds }) => {
        const ranks = Array.from({ length: size }, (_, rank) => rank)
        const plans: ExpertExchange[] = ranks.map((rank) => planExchange({ rank, size, numExperts, topK, expertIds }))
        const sent = plans.map((plan) => pieces([...plan.sent], plan.numSent))
        const results = ranks.map((rank) => {
          const plan = plans[rank]!
          const received = ranks.flatMap((source) => sent[source]![rank]!)
          expect(ranks.map((source) => sent[source]![rank]!.length)).toEqual(plan.numReceived)
          expect(new Set(received).size).toBe(received.length)
          const { start } = expertRange(numExperts, { rank, size })
          const pairs = [...plan.pairRows].map((row, i) => {
            expect(received[row]).toBe(plan.pairTokens[i])
            return { token: received[row]!, expert: start + plan.pairExperts[i]! }
          })
          expect(plan.rowsPerRank[rank]).toBe(pairs.length)
          return pieces(pairs, plan.numPairs)
        })
        for (const rank of ranks) {
          const plan = plans[rank]!
          const back = ranks.flatMap((source) => results[source]![rank]!)
          expect(ranks.map((source) => results[source]![rank]!.length)).toEqual(plan.numResults)
          const { start, end } = tokenSlice(numTokens, { rank, size })
          expect(plan.places.length).toBe((end - start) * topK)
          plan.places.forEach((place, i) => {
            const choice = start * topK + i
            expect(back[place]).toEqual({ token: Math.floor(choice / topK), expert: expertIds[choice] })
          })
          expect(plan.rowsPerRank).toEqual(plans[0]!.rowsPerRank)
        }
        expect(plans[0]!.rowsPerRank.reduce((sum, rows) => sum + rows, 0)).toBe(numTokens * topK)
      }),
    )
  })
})
