import { describe, expect, it } from 'vitest'
import { checkStructuralTag } from './check-structural-tag.ts'

const options = { allowWhitespace: true, disableAdditionalProperties: false }
const check = (tag: unknown) => checkStructuralTag(tag, options)

describe('checkStructuralTag', () => {
  it('replaces schemas, expressions and grammars by grammars of ours', () => {
    const content = { type: 'json_schema', json_schema: { type: 'integer' } }
    const tag = {
      type: 'structural_tag',
      format: {
        type: 'sequence',
        elements: [
          { type: 'const_string', value: 'x' },
          {
            type: 'triggered_tags',
            triggers: ['<f'],
            tags: [{ type: 'tag', begin: '<f>', content, end: '</f>' }],
            at_least_one: true,
          },
          {
            type: 'or',
            elements: [
              { type: 'regex', pattern: '[à-ü]' },
              { type: 'grammar', grammar: 'root ::= "a"' },
            ],
          },
          { type: 'tag', begin: '', content: { type: 'any_text' }, end: '!' },
        ],
      },
    }
    const grammar = { type: 'grammar', grammar: expect.stringMatching(/^root ::= /) }
    const expected = {
      type: 'sequence',
      elements: [
        { type: 'const_string', value: 'x' },
        {
          type: 'triggered_tags',
          triggers: ['<f'],
          tags: [{ type: 'tag', begin: '<f>', content: grammar, end: '</f>' }],
          at_least_one: true,
        },
        { type: 'or', elements: [grammar, grammar] },
        { type: 'tag', begin: '', content: { type: 'any_text' }, end: '!' },
      ],
    }
    expect(check(tag)).toEqual(expected)
    expect(check(JSON.stringify(tag.format))).toEqual(expected)
    expect(check({ format: tag.format })).toEqual(expected)
  })

  it('takes the older form', () => {
    const structures = [{ begin: '<f>', schema: { type: 'integer' }, end: '</f>' }]
    expect(check({ type: 'structural_tag', structures, triggers: ['<f'] })).toMatchObject({
      type: 'triggered_tags',
      tags: [{ content: { type: 'grammar' } }],
    })
  })

  it.each<[unknown, string]>([
    ['{', '# is not valid JSON'],
    [[], '# is []; it must be an object'],
    [{ type: 'qwen_xml_parameter', json_schema: {} }, '#/type is "qwen_xml_parameter"; known are any_text'],
    [{ type: 'any_text', excludes: [] }, '# has the unknown field "excludes"; known are type'],
    [{ type: 'const_string', value: '' }, '#/value is ""; it must be a text that is not empty'],
    [{ type: 'or', elements: [] }, '#/elements is []; it must be a list that is not empty'],
    [
      { type: 'triggered_tags', triggers: ['a'], tags: [{ type: 'any_text' }] },
      '#/tags/0/type is any_text; it must be tag',
    ],
    [
      {
        type: 'triggered_tags',
        triggers: ['<a', '<b'],
        tags: [{ type: 'tag', begin: '<a>', content: { type: 'any_text' }, end: '</a>' }],
      },
      '#/triggers/1 is "<b", with which no tag begins',
    ],
    [
      { structures: [{ begin: '<a>', schema: {}, end: '</a>' }], triggers: ['<b'] },
      '#/triggers/0 is "<b", with which no tag begins',
    ],
    [
      { type: 'tag', begin: 'a', content: { type: 'json_schema', json_schema: { multipleOf: 0.1 } }, end: 'b' },
      '"multipleOf" of the schema at #',
    ],
    [{ type: 'regex', pattern: '(' }, 'the group is not closed'],
    [{ type: 'grammar', grammar: 'x' }, 'the grammar cannot be used'],
    [nested(100), 'is nested deeper than 32 levels'],
    [
      { type: 'or', elements: Array.from({ length: 2000 }, () => ({ type: 'any_text' })) },
      'is one of more than 1000 formats',
    ],
    [{ type: 'const_string', value: 'a\0' }, 'has half a surrogate pair or a NUL character'],
  ])('refuses %j', (tag, reason) => {
    expect(() => check(tag)).toThrow(reason)
    expect(() => check(tag)).toThrow(expect.objectContaining({ code: 'invalid_request', param: 'structuredOutput' }))
  })
})

function nested(depth: number): unknown {
  return depth === 0 ? { type: 'any_text' } : { type: 'or', elements: [nested(depth - 1)] }
}
