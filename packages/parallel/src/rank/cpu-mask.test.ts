import { describe, expect, it } from 'vitest'
import { mayShareCpus, parseCpuMask, readCpuMask } from './cpu-mask.ts'

const maskOf = (list: string) =>
  parseCpuMask(`Name:\tnode\nCpus_allowed:\tff\nCpus_allowed_list:\t${list}\nMems_allowed:\t1\n`)

describe('the CPUs of a process', () => {
  it('are read as Linux writes them', () => {
    expect(maskOf('5')).toEqual([[5, 5]])
    expect(maskOf('0-3,8,10-11')).toEqual([
      [0, 3],
      [8, 8],
      [10, 11],
    ])
    expect(parseCpuMask('Name:\tnode\n')).toBeNull()
    expect(maskOf('')).toBeNull()
    expect(readCpuMask() === null).toBe(process.platform !== 'linux')
  })

  it.each([
    ['0', '1', false],
    ['0-3', '4-7', false],
    ['0-3,8', '4-7,9', false],
    ['0-3', '3-7', true],
    ['0,8', '2,4,8', true],
    ['0-7', '3', true],
  ])('of %s and %s: shared is %s', (a, b, expected) => {
    expect(mayShareCpus(maskOf(a), maskOf(b))).toBe(expected)
    expect(mayShareCpus(maskOf(b), maskOf(a))).toBe(expected)
  })

  it('may be shared where one is not known', () => {
    expect(mayShareCpus(null, maskOf('0'))).toBe(true)
    expect(mayShareCpus(maskOf('0'), null)).toBe(true)
  })
})
