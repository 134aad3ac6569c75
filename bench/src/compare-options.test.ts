import { expect, test } from 'vitest'
import { shapes } from './bench-shape.ts'
import { parseCompareOptions } from './compare-options.ts'

test('without flags: the 1.1B shape in Q8_0, every engine, everything', () => {
  const options = parseCompareOptions([])
  expect(options.shapes.map(({ name }) => name)).toEqual(['tinyllama-1.1b'])
  expect(options.formats).toEqual(['q8_0'])
  expect(options.engines.map(({ name }) => name)).toEqual(['octavo', 'llama-cpp', 'transformers'])
  expect(options).toMatchObject({ numRounds: 3, hasSpeed: true, hasServing: true })
})

test('all, and lists of names', () => {
  const options = parseCompareOptions(['--shape', 'all', '--format', 'q4_0,bf16', '--engines=octavo,llama-cpp'])
  expect(options.shapes.map(({ name }) => name)).toEqual(Object.keys(shapes))
  expect(options.formats).toEqual(['q4_0', 'bf16'])
  expect(options.engines).toHaveLength(2)
})

test('what is measured can be less', () => {
  const { speedPlan } = parseCompareOptions(['--prefill', '64', '--decode', '1,2'])
  expect(speedPlan).toMatchObject({ prefill: [64], decode: [1, 2] })
})

test('one part only', () => {
  expect(parseCompareOptions(['--only', 'serving'])).toMatchObject({ hasSpeed: false, hasServing: true })
  expect(parseCompareOptions(['--only', 'speed'])).toMatchObject({ hasSpeed: true, hasServing: false })
})

test.each([
  [['--shape', 'gpt-9'], '--shape gpt-9 is not known'],
  [['--format', 'q8_0,q9'], '--format q9 is not known'],
  [['--only', 'load'], '--only must be speed or serving, got load'],
  [['--rounds', '0'], '--rounds must be a positive integer, got 0'],
  [['--requests', 'many'], '--requests must be a positive integer, got many'],
  [['--decode', '1,'], '--decode must be a positive integer, got .'],
  [['--nonsense'], 'nonsense'],
])('%j is refused', (args, message) => {
  expect(() => parseCompareOptions(args)).toThrow(message)
})
