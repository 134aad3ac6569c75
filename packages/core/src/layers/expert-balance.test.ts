import { expect, it } from 'vitest'
import { ExpertBalance } from './expert-balance.ts'

it('tells how long the busiest rank of each layer keeps the others waiting', () => {
  const balance = new ExpertBalance()
  expect(balance.report()).toBe(null)
  balance.record([3, 1])
  balance.record([0, 4])
  expect(balance.report()).toEqual({ rowsPerRank: [3, 5], busiestRows: 7, imbalance: 7 / 4 })
})
