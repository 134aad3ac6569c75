import { describe, expect, it } from 'vitest'
import { JinjaError } from './jinja-error.ts'
import { parseJson } from './parse-json.ts'

describe('parseJson', () => {
  it('takes whole numbers of as many digits as Python does', () => {
    const digits = '7'.repeat(4300)
    expect(parseJson(`[${digits}, -${digits}]`)).toEqual([BigInt(digits), -BigInt(digits)])
    expect(() => parseJson(`[-${digits}7]`)).toThrow(JinjaError)
    expect(() => parseJson(`{"a": ${digits}7}`)).toThrow(/whole number of more than 4300 digits/)
  })
})
