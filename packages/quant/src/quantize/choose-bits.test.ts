import { InvalidConfigError } from '@octavo/core'
import { expect, it } from 'vitest'
import { chooseBits } from './choose-bits.ts'
import type { ModuleChoices } from './choose-bits.ts'

const choicesOf = (name: string, errors: readonly number[]): ModuleChoices => ({
  name,
  choices: [3, 4, 8].map((bits, i) => ({ bits, sizeInBytes: bits * 100, error: errors[i]! })),
})
const modules = [choicesOf('a', [0.4, 0.1, 0.001]), choicesOf('b', [0.1, 0.05, 0.001]), choicesOf('c', [0.2, 0.3, 0.0])]
const bitsOf = (budget: Parameters<typeof chooseBits>[1]): number[] =>
  chooseBits(modules, budget).map(({ bits }) => bits)

it('takes the fewest bits whose error is allowed, the most where none is', () => {
  expect(bitsOf({ maxError: 0.1 })).toEqual([4, 3, 8])
  expect(bitsOf({ maxError: 0.0001 })).toEqual([8, 8, 8])
  expect(bitsOf({ maxError: 1 })).toEqual([3, 3, 3])
})

it('spends bytes where they take away the most error', () => {
  expect(bitsOf({ maxBytes: 900 })).toEqual([3, 3, 3])
  expect(bitsOf({ maxBytes: 1000 })).toEqual([4, 3, 3])
  expect(bitsOf({ maxBytes: 1100 })).toEqual([4, 4, 3])
  // A step of c to 4 bits would lose: it goes to 8 at once.
  expect(bitsOf({ maxBytes: 1600 })).toEqual([4, 4, 8])
  expect(bitsOf({ maxBytes: 2400 })).toEqual([8, 8, 8])
})

it('says what is needed at least', () => {
  expect(() => bitsOf({ maxBytes: 899 })).toThrow(InvalidConfigError)
  expect(() => bitsOf({ maxBytes: 899 })).toThrow(/900 bytes where 899/)
})
