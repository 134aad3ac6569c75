import { describe, expect, it } from 'vitest'
import { InvalidConfigError } from '../errors.ts'
import { type OptionTable, resolveOptions } from './option-table.ts'

const table = {
  split: { group: 'g', type: { kind: 'integers', min: 1, max: 9 }, default: null, doc: 'How many each has.' },
} as const satisfies OptionTable

describe('an option of several integers', () => {
  it.each([
    [undefined, null],
    [
      [3, 4],
      [3, 4],
    ],
    ['3,4', [3, 4]],
    [' 3 , 4 ', [3, 4]],
  ])('%j is %j', (split, expected) => {
    expect(resolveOptions(table, { split })).toEqual({ split: expected })
  })

  it.each([[''], ['3,'], ['3;4'], ['1.5'], ['0'], [[10]], [[]], [3], [['3']]])('%j is refused', (split) => {
    expect(() => resolveOptions(table, { split })).toThrow(InvalidConfigError)
    expect(() => resolveOptions(table, { split })).toThrow('split: must be integers from 1 to 9, such as 10,12, got')
  })
})
