import { expect, it } from 'vitest'
import { addCounts, Histogram, oneTwoFiveBounds } from './histogram.ts'

it('counts a value with the first bound that is not below it', () => {
  const histogram = new Histogram([1, 2, 5])
  for (const value of [0, 1, 1.5, 2, 6, 7]) histogram.observe(value)
  expect(histogram.data()).toEqual({ bounds: [1, 2, 5], counts: [2, 2, 0, 2], sum: 17.5 })
})

it('is a copy, once taken, and adds up', () => {
  const histogram = new Histogram([1])
  histogram.observe(1)
  const before = histogram.counts()
  histogram.observe(3)
  expect(before).toEqual({ counts: [1, 0], sum: 1 })
  expect(addCounts(before, histogram.counts())).toEqual({ counts: [2, 1], sum: 5 })
})

it('has bounds of 1, 2 and 5 up to the largest value', () => {
  expect(oneTwoFiveBounds(100)).toEqual([1, 2, 5, 10, 20, 50, 100])
  expect(oneTwoFiveBounds(99)).toEqual([1, 2, 5, 10, 20, 50])
  expect(oneTwoFiveBounds(0)).toEqual([])
})
