import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { shimNodeUtil } from './node-util-shim.ts'

const util = createRequire(import.meta.url)('node:util') as Record<string, unknown>
const shim = fileURLToPath(new URL('./node-util-shim.ts', import.meta.url))
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

  it('leaves what Node has, but for the one that warns', () => {
    const own = (): boolean => false
    for (const name of names) Object.defineProperty(util, name, { value: own, configurable: true, writable: true })
    shimNodeUtil()
    expect(util['isNullOrUndefined']).toBe(own)
    expect(util['isArray']).toBe(Array.isArray)
  })

  it('takes no warning from anybody else', () => {
    const program = `
      const util = require('node:util')
      const { shimNodeUtil } = require(${JSON.stringify(shim)})
      shimNodeUtil()
      util.isArray([])
      util.deprecate(() => {}, 'another is deprecated', 'DEP9999')()`
    const { stderr, status } = spawnSync(process.execPath, ['-e', program], { encoding: 'utf8' })
    expect(status).toBe(0)
    expect(stderr).toContain('another is deprecated')
    expect(stderr).not.toContain('isArray')
  })
})
