import { createRequire } from 'node:module'
import { afterEach, describe, expect, it } from 'vitest'
import { shimNodeUtil } from './node-util-shim.ts'

const util = createRequire(import.meta.url)('node:util') as Record<string, unknown>
const names = ['isArray', 'isNullOrUndefined'] as const
const before = names.map((name) => [name, Object.getOwnPropertyDescriptor(util, name)] as const)

afterEach(() => {
  for (const [name, descriptor] of before) {
    if (descriptor === undefined) delete util[name]
    else Object.defineProperty(util, name, descriptor)
  }
})

describe('shimNodeUtil', () => {
  it('puts back what Node 23 removed', () => {
    for (const name of names) delete util[name]
    shimNodeUtil()
    const { isArray, isNullOrUndefined } = util as Record<string, (value: unknown) => boolean>
    expect([null, undefined, 0, '', []].map(isNullOrUndefined!)).toEqual([true, true, false, false, false])
    expect([[], {}, null].map((value) => isArray!(value))).toEqual([true, false, false])
  })

  it("leaves Node's own alone", () => {
    const own = (): boolean => false
    Object.defineProperty(util, 'isArray', { value: own, configurable: true, writable: true })
    shimNodeUtil()
    expect(util['isArray']).toBe(own)
  })
})
