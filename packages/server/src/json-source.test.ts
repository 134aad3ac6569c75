import { describe, expect, it } from 'vitest'
import { JsonSource } from './json-source.ts'

describe('JsonSource', () => {
  const text = ` { "a" : [ 1.0 , {"b":"x\\"]}\\\\" , "10":1e2, "9": 12345678901234567890} ,[ ], {} ] , "\\u0063":null,"d":"é" } `

  it('finds members and elements as they were written', () => {
    const root = new JsonSource(text)
    expect(root.text).toBe(text.trim())
    const elements = root.member('a')!.elements()
    expect(elements.map((element) => element.text)).toEqual([
      '1.0',
      '{"b":"x\\"]}\\\\" , "10":1e2, "9": 12345678901234567890}',
      '[ ]',
      '{}',
    ])
    expect(elements[1]!.member('b')!.text).toBe('"x\\"]}\\\\"')
    expect(elements[1]!.member('10')!.text).toBe('1e2')
    expect(elements[1]!.member('9')!.text).toBe('12345678901234567890')
    expect(elements[2]!.elements()).toEqual([])
    expect(root.member('c')!.text).toBe('null')
    expect(root.member('d')!.text).toBe('"é"')
  })

  it('says that there is none', () => {
    const root = new JsonSource('{"a":1,"b":[]}')
    expect(root.member('c')).toBeUndefined()
    expect(root.member('b')!.member('a')).toBeUndefined()
    expect(root.elements()).toEqual([])
    expect(new JsonSource('[]').member('a')).toBeUndefined()
  })

  it('takes the last of equal keys, as JSON.parse does', () => {
    expect(new JsonSource('{"a":1,"a":{"b":2},"x":3}').member('a')!.text).toBe('{"b":2}')
  })

  it('has all members in the order written', () => {
    const members = new JsonSource('{"b":1.0,"2":[{"x":1}],"b":2e1,"\\u0031":{}}').members()
    expect([...members].map(([key, value]) => [key, value.text])).toEqual([
      ['b', '2e1'],
      ['2', '[{"x":1}]'],
      ['1', '{}'],
    ])
    expect(new JsonSource('[1]').members().size).toBe(0)
  })

  it('takes a time that grows with the text, not faster', () => {
    const body = `{"a":"${'\\\\'.repeat(1_000_000)}","b":[${'[{"c":"d"}],'.repeat(50_000)}1],"e":2.0}`
    expect(new JsonSource(body).member('e')!.text).toBe('2.0')
    expect(new JsonSource(body).member('b')!.elements()).toHaveLength(50_001)
  }, 5_000)
})
