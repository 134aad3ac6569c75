import { InvalidArgumentError } from 'commander'
import { describe, expect, it } from 'vitest'
import { collect, integer, number, templateText, tokenCount } from './parsers.ts'

describe('tokenCount', () => {
  it.each([
    ['4096', 4096],
    ['4k', 4000],
    ['4K', 4096],
    ['1.5k', 1500],
    ['0.5M', 524_288],
  ])('reads %s as %d', (text, tokens) => {
    expect(tokenCount(1, 2 ** 24)(text)).toBe(tokens)
  })

  it.each(['', 'k', '4q', '-1', '0', '1e3', '4 k k', '99999999999999999999', '17M'])('refuses "%s"', (text) => {
    expect(() => tokenCount(1, 2 ** 24)(text)).toThrow(InvalidArgumentError)
  })
})

describe('integer and number', () => {
  it('keeps to the range', () => {
    expect(integer(0, 65_535)('8000')).toBe(8000)
    expect(number(0, 2)('0.7')).toBe(0.7)
  })

  it.each(['65536', '-1', '80.5', 'abc', '', '0x10'])('refuses the port "%s"', (text) => {
    expect(() => integer(0, 65_535)(text)).toThrow('from 0 to 65535')
  })

  it.each(['2.1', '-0.1', '', 'NaN', 'Infinity'])('refuses the temperature "%s"', (text) => {
    expect(() => number(0, 2)(text)).toThrow('from 0 to 2')
  })
})

describe('collect', () => {
  it('appends, and refuses the empty string', () => {
    expect(collect('b', collect('a', undefined))).toEqual(['a', 'b'])
    expect(() => collect('', undefined)).toThrow(InvalidArgumentError)
  })
})

describe('templateText', () => {
  it('takes Jinja as it stands and says why a file cannot be read', () => {
    expect(templateText('{{ messages }}')).toBe('{{ messages }}')
    expect(() => templateText('no/such/file.jinja')).toThrow('ENOENT')
  })
})
