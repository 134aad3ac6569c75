import type { Random } from '../grammar-sampler.case.ts'

type Schema = Record<string, unknown> | boolean

/** Without `__proto__`, which ajv takes for no property. */
const names = [
  'a',
  'ab',
  'abc',
  'name',
  'naïve',
  'ключ',
  '日本',
  '😀',
  'with "quotes"',
  'back\\slash',
  'line\nbreak',
  'toString',
  '',
  ' ',
  'a/b~c',
]
// ajv calls `toString` of what it compares.
const comparable = names.filter((name) => name !== 'toString')
const texts = ['', 'a', 'yes', 'no', 'é', '"', '\\', '\u0001\n', '日本語', '😀', 'a b', '</script>']
const patterns = [
  'a+',
  '^a+$',
  '^[a-c]{2,4}$',
  '^(?:foo|bar)',
  '\\d$',
  '^\\w+-\\d{1,3}$',
  '^[^x]*$',
  '[à-ü]',
  '^\\p{Lu}',
  '^.{1,3}$',
  '^(?!x)[a-z]*$',
  '\\s',
  '^["\\\\]+$',
  '^\\S+$',
]
const formats = [
  'date',
  'time',
  'date-time',
  'duration',
  'email',
  'hostname',
  'ipv4',
  'ipv6',
  'uri',
  'uri-reference',
  'url',
  'uri-template',
  'uuid',
  'json-pointer',
  'relative-json-pointer',
  'json-pointer-uri-fragment',
  'byte',
  'password',
]

/** Makes up schemas of all keywords that are enforced, nested, with names and values of all kinds. */
export class SchemaGenerator {
  private readonly random: Random
  private hasDefs = false

  constructor(random: Random) {
    this.random = random
  }

  /** A whole document. */
  document(): Schema {
    this.hasDefs = this.chance(0.2)
    const schema = this.schema(3)
    if (!this.hasDefs || typeof schema === 'boolean') return schema
    return { ...schema, $defs: { node: this.recursive(), leaf: this.schema(0) } }
  }

  private recursive(): Schema {
    return {
      type: 'object',
      properties: {
        value: this.schema(0),
        next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] },
        list: { type: 'array', items: { $ref: '#/$defs/node' } },
      },
      required: this.some(['value', 'next']),
      additionalProperties: false,
    }
  }

  private chance(probability: number): boolean {
    return this.random() < probability
  }

  private int(min: number, max: number): number {
    return min + Math.floor(this.random() * (max - min + 1))
  }

  private pick<T>(list: readonly T[]): T {
    return list[this.int(0, list.length - 1)]!
  }

  private some<T>(list: readonly T[]): T[] {
    return list.filter(() => this.chance(0.5))
  }

  private maybe(probability: number, make: () => Record<string, unknown>): Record<string, unknown> {
    return this.chance(probability) ? make() : {}
  }

  schema(depth: number): Schema {
    if (this.chance(0.03)) return true
    if (this.hasDefs && this.chance(0.1)) return { $ref: this.pick(['#/$defs/node', '#/$defs/leaf']) }
    if (depth > 0 && this.chance(0.2)) return this.combined(depth)
    const kind = this.pick([
      'object',
      'object',
      'array',
      'string',
      'number',
      'integer',
      'enum',
      'untyped',
      'types',
      'simple',
    ])
    switch (kind) {
      case 'object':
        return { type: 'object', ...this.objectKeywords(depth) }
      case 'array':
        return { type: 'array', ...this.arrayKeywords(depth) }
      case 'string':
        return { type: 'string', ...this.stringKeywords() }
      case 'number':
      case 'integer':
        return { type: kind, ...this.numberKeywords(kind === 'integer') }
      case 'enum':
        return this.chance(0.3)
          ? { const: this.value(2) }
          : { enum: Array.from({ length: this.int(1, 4) }, () => this.value(1)) }
      case 'untyped':
        return {
          ...this.maybe(0.5, () => this.stringKeywords()),
          ...this.maybe(0.5, () => this.numberKeywords(false)),
          ...this.maybe(0.3, () => this.objectKeywords(0)),
        }
      case 'types':
        return {
          type: [...new Set([this.pick(['string', 'null']), this.pick(['integer', 'boolean', 'array'])])],
          ...this.maybe(0.5, () => this.stringKeywords()),
        }
      default:
        return {
          type: this.pick(['boolean', 'null', 'string', 'number']),
          title: 'a title',
          description: 'text',
          default: 1,
        }
    }
  }

  private combined(depth: number): Schema {
    const kind = this.pick(['anyOf', 'oneOf', 'allOf', 'not', 'if', 'dependent', 'discriminated'])
    switch (kind) {
      case 'anyOf':
        return { anyOf: [this.schema(depth - 1), this.schema(depth - 1)] }
      case 'oneOf':
        return {
          oneOf: [
            { type: 'string', ...this.stringKeywords() },
            { type: 'array', ...this.arrayKeywords(depth - 1) },
            { type: 'integer', maximum: 5 },
            { type: 'number', minimum: 6 },
          ],
        }
      case 'allOf':
        return {
          type: 'object',
          ...this.objectKeywords(depth - 1),
          allOf: [{ ...this.objectKeywords(depth - 1) }, { minProperties: 1 }],
        }
      case 'not':
        return this.pick<Schema>([
          { not: { type: this.pick(['string', 'object', 'null']) } },
          { type: 'string', not: { enum: this.some(texts) } },
          { type: 'integer', not: { minimum: 3 } },
          { type: 'string', not: { pattern: this.pick(patterns) } },
          { not: { const: this.value(0) } },
        ])
      case 'if':
        return {
          type: 'object',
          properties: { kind: { enum: ['x', 'y'] } },
          required: ['kind'],
          if: { properties: { kind: { const: 'x' } } },
          // oxlint-disable-next-line unicorn/no-thenable -- JSON Schema's keyword
          then: { required: ['more'], properties: { more: { type: 'integer' } } },
          else: { properties: { more: false } },
        }
      case 'dependent':
        return {
          type: 'object',
          properties: { a: true, b: { type: 'integer' } },
          dependentRequired: { a: ['b'] },
          dependentSchemas: { b: { required: ['c'] } },
        }
      default:
        return {
          oneOf: ['x', 'y', 'z'].map((kind) => ({
            type: 'object',
            properties: { kind: { const: kind }, [`of ${kind}`]: this.schema(depth - 1) },
            required: ['kind'],
            ...this.maybe(0.5, () => ({ additionalProperties: false })),
          })),
        }
    }
  }

  private objectKeywords(depth: number): Record<string, unknown> {
    const named = this.some(names).slice(0, this.int(0, 5))
    const properties = Object.fromEntries(named.map((name) => [name, this.schema(depth - 1)]))
    return {
      ...this.maybe(0.9, () => ({ properties })),
      ...this.maybe(0.5, () => ({ required: [...this.some(named), ...(this.chance(0.1) ? ['unnamed'] : [])] })),
      ...this.maybe(0.4, () => ({ additionalProperties: this.chance(0.6) ? false : this.schema(0) })),
      ...this.maybe(0.1, () => ({
        patternProperties: { [this.pick(patterns)]: this.schema(0), '^x': { type: 'integer' } },
      })),
      ...this.maybe(0.1, () => ({
        propertyNames: this.pick<Schema>([{ maxLength: 3 }, { pattern: '^[a-z]' }, { enum: names }]),
      })),
      ...this.maybe(0.1, () => ({ minProperties: this.int(0, 2) })),
      ...this.maybe(0.1, () => ({ maxProperties: this.int(1, 4) })),
    }
  }

  private arrayKeywords(depth: number): Record<string, unknown> {
    const min = this.int(0, 2)
    if (this.chance(0.1)) return { items: { enum: ['a', 'b', 1, null] }, uniqueItems: true, minItems: min }
    if (this.chance(0.1)) return { items: this.schema(depth - 1), contains: this.schema(0) }
    return {
      ...this.maybe(0.8, () => ({ items: this.schema(depth - 1) })),
      ...this.maybe(0.2, () => ({ prefixItems: [this.schema(depth - 1), this.schema(0)] })),
      ...this.maybe(0.5, () => ({ minItems: min })),
      ...this.maybe(0.5, () => ({ maxItems: min + this.int(0, 3) })),
    }
  }

  private stringKeywords(): Record<string, unknown> {
    const min = this.int(0, 3)
    return {
      ...this.maybe(0.3, () => ({ minLength: min })),
      ...this.maybe(0.3, () => ({ maxLength: min + this.int(0, 20) })),
      ...this.maybe(0.3, () => (this.chance(0.5) ? { pattern: this.pick(patterns) } : { format: this.pick(formats) })),
    }
  }

  private numberKeywords(isInteger: boolean): Record<string, unknown> {
    const bound = (): number =>
      isInteger || this.chance(0.5)
        ? this.int(-50, 50)
        : this.pick([0.1, -2.5, 1e-7, 123.456, 1e6, -0.001, 2.71, 2 ** 53])
    const low = bound()
    return {
      ...this.maybe(0.4, () => ({ [this.pick(['minimum', 'exclusiveMinimum'])]: low })),
      ...this.maybe(0.4, () => ({
        [this.pick(['maximum', 'exclusiveMaximum'])]: low + this.pick([0, 1, 2.5, 1000, 1e-3, 1e12]),
      })),
      ...this.maybe(0.15, () => ({ multipleOf: this.pick([1, 2, 5, 7, 12, 100, 250]) })),
    }
  }

  private value(depth: number): unknown {
    const kind = this.int(0, depth > 0 ? 6 : 4)
    switch (kind) {
      case 0:
        return null
      case 1:
        return this.chance(0.5)
      case 2:
        return this.pick([0, 1, -1, 3.5, 1e21, -0.001, 42])
      case 3:
      case 4:
        return this.pick(texts)
      case 5:
        return Array.from({ length: this.int(0, 2) }, () => this.value(depth - 1))
      default:
        return Object.fromEntries(
          this.some(comparable)
            .slice(0, 2)
            .map((name) => [name, this.value(depth - 1)]),
        )
    }
  }
}
