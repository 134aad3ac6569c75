import { InvalidConfigError } from '@octavo/core/backend'
import { describe, expect, it } from 'vitest'
import { resolvePackingTime } from './packing-time.ts'

describe('resolvePackingTime', () => {
  it('takes the option, else the environment, else deferred', () => {
    expect(resolvePackingTime('at-load', 'deferred')).toBe('at-load')
    expect(resolvePackingTime(undefined, 'at-load')).toBe('at-load')
    expect(resolvePackingTime(undefined, null)).toBe('deferred')
  })

  it('refuses anything else, by the name of where it stands', () => {
    expect(() => resolvePackingTime('later', null)).toThrow(InvalidConfigError)
    expect(() => resolvePackingTime('later', null)).toThrow(/packing: must be one of deferred, at-load, got "later"/)
    expect(() => resolvePackingTime(undefined, 'never')).toThrow(/OCTAVO_PACKING.*"never"/)
  })
})
