import { beforeAll, describe, expect, it } from 'vitest'
import { GrammarSampler } from '../grammar-sampler.case.ts'
import { jsonObjectGrammar, schemaToGrammar } from './schema-to-grammar.ts'

const options = { allowWhitespace: true, disableAdditionalProperties: false }

let sampler: GrammarSampler
beforeAll(async () => {
  sampler = await GrammarSampler.create()
})

async function expectTexts(grammar: string, good: readonly string[], bad: readonly string[]): Promise<void> {
  const compiled = await sampler.compile(grammar)
  for (const text of good) expect([text, await sampler.accepts(compiled, text)]).toEqual([text, true])
  for (const text of bad) expect([text, await sampler.accepts(compiled, text)]).toEqual([text, false])
}

const node = {
  type: 'object',
  properties: { v: { type: 'number' }, next: { anyOf: [{ $ref: '#/$defs/n' }, { type: 'null' }] } },
  required: ['v', 'next'],
  additionalProperties: false,
}

describe('schemaToGrammar', () => {
  it.each<[schema: unknown, good: string[], bad: string[]]>([
    [
      {
        type: 'object',
        properties: { a: { type: 'integer' }, b: { type: 'string' } },
        required: ['a'],
        additionalProperties: false,
      },
      ['{"a":1}', '{"a":1,"b":"x"}', '{"a": 12,\n  "b": "é"}'],
      ['{}', '{"b":"x"}', '{"a":1.5}', '{"a":1,"c":1}', '{"a":1,"a":1}'],
    ],
    [
      { type: 'object', properties: { a: { type: 'integer' }, ab: { type: 'string' } } },
      ['{}', '{"a":1}', '{"abc":1}', '{"":1}', '{"a":1,"x":[1,{"y":null}]}', '{"ab":"x"}'],
      ['{"a":"x"}', String.raw`{"\u0061":"x"}`, '{"a":1,"a":1}', '{"x":1,"a":1}', '[]'],
    ],
    [
      {},
      ['1', '"x"', '[1,2]', '{"a":{}}', 'null', 'true', '-0.5e3', String.raw`"\u00e9\ud83d\ude00"`],
      ['01', String.raw`"\ud800"`, '[1,]', '{,}', 'tru', 'nul', '"\n"', '[nulltrue]'],
    ],
    [true, ['1', '{}'], ['']],
    ['{"type":"integer"}', ['1'], ['"1"']],
    [{ enum: ['a', 1, null, { x: [1] }] }, ['"a"', '1', 'null', '{"x":[1]}'], ['"b"', '2']],
    [{ minLength: 3 }, ['1', '"abc"', '"😀😀😀"', '[]', String.raw`"\n\"a"`], ['"ab"', '"😀😀"']],
    [
      { type: 'string', maxLength: 1000, minLength: 2 },
      ['"ab"', `"${'é'.repeat(1000)}"`],
      ['"a"', `"${'é'.repeat(1001)}"`],
    ],
    [
      { type: 'array', items: { type: 'integer', minimum: 3, maximum: 120 }, minItems: 1, maxItems: 3 },
      ['[3]', '[120,99,20]'],
      ['[]', '[2]', '[121]', '[3,3,3,3]'],
    ],
    [
      { $defs: { n: node }, $ref: '#/$defs/n' },
      ['{"v":1,"next":null}', '{"v":1,"next":{"v":2,"next":null}}'],
      ['{"v":1}', '{"v":1,"next":{}}'],
    ],
    [{ type: 'string', pattern: '^a+b?$' }, ['"a"', '"aab"'], ['"b"', '"abb"']],
    [{ type: 'string', pattern: 'a+' }, ['"xaay"', String.raw`"a\n"`], ['"b"']],
    [{ type: 'string', pattern: '^[a-c]+$', minLength: 2, maxLength: 3 }, ['"ab"', '"abc"'], ['"a"', '"abca"', '"xy"']],
    [
      { type: 'number', minimum: -1.5, exclusiveMaximum: 2.25 },
      ['-1.5', '0', '2.2', '2.24999', '2', '-1', '0.001'],
      ['-1.51', '2.25', '2.250', '3', '-2', '-0', '10'],
    ],
    [{ type: 'integer', multipleOf: 7, minimum: 0 }, ['0', '7', '14', '700'], ['1', '8', '-7']],
    [{ type: 'integer', multipleOf: 250 }, ['0', '250', '-1000'], ['100', '25']],
    [
      { type: 'integer', minimum: -9007199254740991, maximum: 9007199254740991 },
      ['0', '-999999999999999', '20'],
      ['1.0', '007'],
    ],
    [
      {
        oneOf: [
          { type: 'object', properties: { k: { const: 'a' }, x: { type: 'integer' } }, required: ['k'] },
          { type: 'object', properties: { k: { const: 'b' } }, required: ['k'] },
        ],
      },
      ['{"k":"a","x":1}', '{"k":"b","x":"q"}'],
      ['{"k":"c"}', '{"k":"a","x":"q"}'],
    ],
    [
      {
        oneOf: [
          { type: 'string', minLength: 3 },
          { type: 'string', maxLength: 4 },
        ],
      },
      ['"ab"', '"abcde"'],
      ['"abc"', '"abcd"'],
    ],
    [
      { type: 'object', minProperties: 2, maxProperties: 3, properties: { a: true, b: true, c: true } },
      ['{"a":1,"b":2}', '{"a":1,"b":2,"c":3}', '{"a":1,"z":2}'],
      ['{"a":1}', '{}', '{"a":1,"b":2,"c":3,"d":4}', '{"x":1,"y":2}'],
    ],
    [
      {
        type: 'object',
        patternProperties: { '^s_': { type: 'string' }, '^i_': { type: 'integer' } },
        additionalProperties: false,
      },
      ['{"s_x":"a","i_y":1}', '{}'],
      ['{"x":1}', '{"s_a":1}'],
    ],
    [{ type: 'object', propertyNames: { enum: ['x', 'y'] } }, ['{"x":1}', '{"y":2}'], ['{"z":1}']],
    [{ not: { type: 'string' } }, ['1', 'null', '{}'], ['"a"']],
    [{ not: { enum: ['a', 'b'] } }, ['"c"', '"aa"'], ['"a"', '"b"']],
    [
      {
        type: 'object',
        properties: { a: { type: 'string' } },
        if: { properties: { a: { const: 'x' } }, required: ['a'] },
        // oxlint-disable-next-line unicorn/no-thenable -- JSON Schema's keyword
        then: { required: ['b'] },
      },
      ['{"a":"x","b":1}', '{"a":"y"}', '{}'],
      ['{"a":"x"}'],
    ],
    [{ contains: { const: 5 } }, ['[5]', '[1,5,2]', '"a"'], ['[]', '[1]']],
    [{ type: 'array', uniqueItems: true, items: { enum: ['a', 'b', 'c'] } }, ['[]', '["a","c"]'], ['["a","a"]']],
    [
      {
        allOf: [
          { properties: { a: { type: 'integer' } }, required: ['a'] },
          { properties: { a: { minimum: 3 }, b: { type: 'string' } } },
        ],
        type: 'object',
      },
      ['{"a":3,"b":"x"}'],
      ['{"a":2}', '{"b":"x"}'],
    ],
    [{ type: 'string', format: 'date' }, ['"2024-02-29"', '"2023-12-31"'], ['"2023-02-29"', '"2023-13-01"']],
    [{ type: 'string', format: 'ipv6' }, ['"::1"', '"1:2:3:4:5:6:7:8"', '"fe80::1:2"'], ['"1:2:3:4:5:6:7"', '":::"']],
    [
      { type: 'array', prefixItems: [{ type: 'integer' }, { type: 'string' }], items: false },
      ['[]', '[1]', '[1,"a"]'],
      ['["a"]', '[1,"a",2]'],
    ],
    [
      { type: 'array', items: [{ type: 'integer' }], additionalItems: { type: 'null' }, minItems: 2 },
      ['[1,null]', '[1,null,null]'],
      ['[1]', '[1,2]'],
    ],
    [{ dependentRequired: { a: ['b'] } }, ['{}', '{"a":1,"b":2}', '{"b":2}', '5'], ['{"a":1}']],
    [
      { dependencies: { a: { properties: { b: { type: 'null' } } } } },
      ['{"b":2}', '{"a":1,"b":null}'],
      ['{"a":1,"b":2}'],
    ],
    [{ $ref: '#thing', $defs: { x: { $anchor: 'thing', const: 1 } } }, ['1'], ['2']],
    [{ const: 'a"b\\c\u0001é' }, [String.raw`"a\"b\\c\u0001é"`], ['"a"']],
    [
      '{"properties":{"__proto__":{"type":"integer"}},"required":["__proto__"],"additionalProperties":false}',
      ['{"__proto__":1}'],
      ['{"__proto__":"a"}', '{}'],
    ],
    // Alternatives that begin and end alike, which the library would join.
    [
      { anyOf: [{ type: 'array', items: { enum: ['a', 1, null] }, uniqueItems: true }, { type: 'array' }] },
      ['[null,true]', '[1]'],
      ['[nulltrue]', '[1null]'],
    ],
    [{ enum: [91.5, 574, 575, 910] }, ['574', '91.5'], ['914', '57.5']],
  ])('%j', async (schema, good, bad) => {
    await expectTexts(schemaToGrammar(schema, options), good, bad)
  })

  it('writes one space behind colons and commas where whitespace is off', async () => {
    const grammar = schemaToGrammar(
      { type: 'object', properties: { a: { type: 'array', items: { type: 'integer' } } }, required: ['a'] },
      { ...options, allowWhitespace: false },
    )
    await expectTexts(grammar, ['{"a": [1, 2]}', '{"a": [], "b": {}}'], ['{"a":[1]}', '{ "a": [1]}', '{"a": [1,2]}'])
  })

  it('bounds whitespace', async () => {
    await expectTexts(
      schemaToGrammar({ type: 'array' }, options),
      [`[\n${' '.repeat(20)}1]`],
      ['[  1]', '[\n\n1]', `[\n${' '.repeat(21)}1]`],
    )
  })

  it('closes objects with named properties on request', async () => {
    const schema = { type: 'object', properties: { a: { type: 'object' } } }
    await expectTexts(
      schemaToGrammar(schema, { ...options, disableAdditionalProperties: true }),
      ['{"a":{"x":1}}'],
      ['{"b":1}'],
    )
  })

  it('leaves names that begin like one of very many named ones to those', async () => {
    const properties = Object.fromEntries(
      Array.from({ length: 60 }, (_, index) => [`property number ${index}`, { type: 'null' }]),
    )
    await expectTexts(
      schemaToGrammar({ type: 'object', properties }, options),
      ['{"property number 7":null}', '{"other":1}'],
      ['{"property number 7":1}'],
    )
  })

  it('writes any object', async () => {
    await expectTexts(jsonObjectGrammar(options), ['{}', '{"a":[{"b":null}]}'], ['[]', '1'])
  })

  it.each<[unknown, string]>([
    [undefined, 'the schema at # is undefined; a schema is an object or a boolean'],
    ['{', 'the schema at # is not valid JSON'],
    [[], 'the schema at # is []'],
    [false, 'the schema at # allows no value at all'],
    [
      { properties: { a: { foo: 1 } } },
      '"foo" of the schema at #/properties/a is no keyword that can be enforced; leave it out',
    ],
    [
      { minLength: 1, nullable: true },
      `"nullable" of the schema at # is OpenAPI's; write "type": [..., "null"] instead`,
    ],
    [{ type: 'foo' }, '"type" of the schema at # is "foo"; it must be one or a list of object'],
    [
      { items: { multipleOf: 0.01 } },
      '"multipleOf" of the schema at #/items is 0.01; only positive integers can be enforced',
    ],
    [{ multipleOf: 131 }, '"multipleOf" of the schema at # comes to 131; only divisors up to 128'],
    [{ minimum: 3, maximum: 1, type: 'number' }, 'allows no value at all'],
    [{ type: 'string', format: 'color' }, '"format" of the schema at # is "color"; only date,'],
    [
      { pattern: '(?<=a)b' },
      '"pattern" of the schema at # cannot be enforced: lookbehind is not supported at position 0',
    ],
    [
      { type: 'array', uniqueItems: true },
      '"uniqueItems" of the schema at # can be enforced only where "items" is an "enum"',
    ],
    [{ contains: true, maxContains: 2 }, '"maxContains" of the schema at # cannot be enforced'],
    [
      {
        oneOf: [
          { type: 'object', properties: { a: true } },
          { type: 'object', propertyNames: { pattern: 'b' } },
        ],
      },
      '"oneOf" of the schema at # has branches that a value might both match',
    ],
    [{ not: { format: 'date' } }, '"format" of the schema at #/not cannot be negated'],
    [
      { allOf: [{ properties: { a: true } }], unevaluatedProperties: false },
      '"unevaluatedProperties" of the schema at # cannot be enforced beside "allOf"',
    ],
    [{ $ref: 'https://example.com/x.json' }, '"$ref" of the schema at # names another document'],
    [{ $ref: '#/$defs/none' }, '"$ref" of the schema at # names "#/$defs/none", which the document does not have'],
    [{ $ref: '#' }, '"$ref" of the schema at # leads back to itself'],
    [
      { $defs: { a: { anyOf: [{ $ref: '#/$defs/b' }] }, b: { $ref: '#/$defs/a' } }, $ref: '#/$defs/a' },
      'leads back to itself without a property or an item between',
    ],
    [
      {
        $defs: { n: { type: 'object', properties: { n: { $ref: '#/$defs/n' } }, required: ['n'] } },
        $ref: '#/$defs/n',
      },
      'allows no value at all',
    ],
    [{ required: 'a' }, '"required" of the schema at # is "a"; it must be a list of strings'],
    [{ minLength: -1 }, '"minLength" of the schema at # is -1; it must be a whole number'],
  ])('refuses %j', (schema, reason) => {
    expect(() => schemaToGrammar(schema, options)).toThrow(reason)
    expect(() => schemaToGrammar(schema, options)).toThrow(
      expect.objectContaining({ code: 'invalid_request', param: 'structuredOutput' }),
    )
  })
})

describe('hostile schemas', () => {
  const deep = (depth: number): string => `${'{"items":'.repeat(depth)}{}${'}'.repeat(depth)}`
  const chain = Object.fromEntries(
    Array.from({ length: 3000 }, (_, index) => [`d${index}`, { $ref: `#/$defs/d${index + 1}` }]),
  )
  const wide = Array.from({ length: 12 }, (_, index) => ({
    anyOf: [{ minLength: index }, { minimum: index }, { minItems: index }],
  }))
  const tree = Object.fromEntries(
    Array.from({ length: 12 }, (_, index) => [
      `t${index}`,
      {
        type: 'object',
        properties: {
          a: { allOf: [{ $ref: `#/$defs/t${(index * 5 + 1) % 12}` }, { $ref: `#/$defs/t${(index * 7 + 2) % 12}` }] },
        },
      },
    ]),
  )
  it.each<[name: string, schema: unknown]>([
    ['20,000 levels', deep(20_000)],
    ['300 levels', deep(300)],
    ['a long text', { description: 'x'.repeat(600_000) }],
    ['many values', { enum: Array.from({ length: 30_000 }, (_, index) => index) }],
    ['a chain of references', { $defs: { ...chain, d3000: {} }, $ref: '#/$defs/d0' }],
    ['products of alternatives', { allOf: wide }],
    ['a counted list too long', { type: 'array', minItems: 1_000_000_000 }],
    ['a text too long', { type: 'string', minLength: 1_000_000_000 }],
    [
      'many properties counted',
      {
        type: 'object',
        properties: Object.fromEntries(Array.from({ length: 3000 }, (_, index) => [`p${index}`, true])),
        minProperties: 1500,
      },
    ],
    ['an exponential pattern', { pattern: '(a|b)*a(a|b){20}' }],
    [
      'big intersections',
      { allOf: Array.from({ length: 8 }, (_, index) => ({ pattern: `(?:[a-z]{${index + 3}}[0-9]){${index + 2}}` })) },
    ],
    [
      'a cycle',
      (() => {
        const cycle: Record<string, unknown> = {}
        cycle['items'] = cycle
        return cycle
      })(),
    ],
  ])('%s: a refusal, soon', (_name, schema) => {
    const start = performance.now()
    expect(() => schemaToGrammar(schema, options)).toThrow(
      expect.objectContaining({ code: 'invalid_request', param: 'structuredOutput' }),
    )
    expect(performance.now() - start).toBeLessThan(15_000)
  })

  it.each<[schema: unknown, reason: string]>([
    [{ const: Infinity }, 'cannot be written as JSON; pass plain objects and finite numbers'],
    [{ enum: [{ a: NaN }] }, 'cannot be written as JSON; pass plain objects and finite numbers'],
    ['{"const": 1e999}', 'the schema at #/const has the number Infinity, which no JSON can have'],
    ['{"items": {"enum": [[-1e999]]}}', 'the schema at #/items/enum has the number -Infinity'],
    ['{"minimum": 1e999}', 'the schema at #/minimum has the number Infinity'],
  ])('refuses numbers that JSON cannot write: %j', (schema, reason) => {
    expect(() => schemaToGrammar(schema, options)).toThrow(reason)
  })

  it('takes tangled recursion and large bounds within limits', () => {
    expect(schemaToGrammar({ $defs: tree, $ref: '#/$defs/t0' }, options).length).toBeLessThan(400_000)
    expect(
      schemaToGrammar(
        { type: 'array', maxItems: 1_000_000_000, items: { type: 'string', maxLength: 1_000_000_000 } },
        options,
      ).length,
    ).toBeLessThan(5_000)
  })
})
