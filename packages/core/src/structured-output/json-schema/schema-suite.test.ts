import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { InvalidRequestError } from '../../errors.ts'
import { GrammarSampler } from '../grammar-sampler.case.ts'
import type { JsonValue } from './alternative.ts'
import { schemaToGrammar } from './schema-to-grammar.ts'

/**
 * JSON Schema's own test suite, draft 4, which npm has (MIT). Draft 4's boolean exclusive bounds are written as today's;
 * the keywords behind it are in schema-to-grammar.test.ts and under ajv's eyes in schema-to-grammar.random.test.ts.
 */
interface SuiteCase {
  readonly description: string
  readonly schema: Record<string, JsonValue>
  readonly tests: readonly { readonly description: string; readonly data: JsonValue; readonly valid: boolean }[]
}

/** What our grammars leave out on purpose: docs/structured-output.md. */
const fewerTexts = new Set([
  // 15 digits at most, which doubles keep apart.
  'integer: a bignum is an integer',
  'integer: a negative bignum is an integer',
  'integer comparison: comparison works for high numbers',
  'integer comparison: comparison works for very negative numbers',
  // What is no integer is not told from it by its text alone.
  'oneOf: second oneOf valid',
  // No URI by the RFC, but a reference.
  'validation of URIs: a valid protocol-relative URI',
])

/** How many schemas of each file are refused with a message, of how many. */
const refused: Readonly<Record<string, readonly [number: number, total: number]>> = {
  'definitions.json': [2, 2], // other documents
  'multipleOf.json': [2, 3], // fractions
  'ref.json': [2, 6], // other documents, `id`
  'refRemote.json': [4, 4], // other documents
  'uniqueItems.json': [1, 1], // of any items
}

describe("JSON Schema's test suite", () => {
  it('is decided as it says wherever a schema is accepted', { timeout: 60_000 }, async () => {
    const sampler = await GrammarSampler.create()
    const wrong: string[] = []
    const counts: Record<string, [number, number]> = {}
    for (const { file, cases } of readSuite()) {
      const count = (counts[file] = [0, 0])
      for (const { description, schema, tests } of cases) {
        count[1]++
        const grammar = tryGrammar(modernize(schema))
        if (grammar === null) {
          count[0]++
          continue
        }
        const compiled = await sampler.compile(grammar)
        for (const test of tests) {
          const isAccepted = await anyAccepted(sampler, compiled, test.data)
          const name = `${description}: ${test.description}`
          if (isAccepted !== test.valid && !(test.valid && fewerTexts.has(name)))
            wrong.push(`${file}: ${name}: ${isAccepted}`)
        }
        compiled.dispose()
      }
    }
    expect(wrong).toEqual([])
    expect(Object.fromEntries(Object.entries(counts).filter(([, [number]]) => number > 0))).toEqual(refused)
  })
})

const require = createRequire(import.meta.url)

function readSuite(): { file: string; cases: SuiteCase[] }[] {
  const root = join(dirname(require.resolve('json-schema-test-suite/package.json')), 'tests/draft4')
  return ['', 'optional'].flatMap((folder) =>
    readdirSync(join(root, folder))
      // JavaScript's numbers do not tell 1.0 from 1.
      .filter((file) => file.endsWith('.json') && file !== 'zeroTerminatedFloats.json')
      .map((file) => ({
        file: join(folder, file),
        cases: JSON.parse(readFileSync(join(root, folder, file), 'utf8')) as SuiteCase[],
      })),
  )
}

/** `{ minimum: 3, exclusiveMinimum: true }` is `{ exclusiveMinimum: 3 }` since draft 6. */
function modernize(schema: JsonValue): JsonValue {
  if (typeof schema !== 'object' || schema === null) return schema
  if (Array.isArray(schema)) return schema.map(modernize)
  const result: Record<string, JsonValue> = {}
  for (const [name, value] of Object.entries(schema)) result[name] = modernize(value as JsonValue)
  for (const [bound, exclusive] of [
    ['minimum', 'exclusiveMinimum'],
    ['maximum', 'exclusiveMaximum'],
  ] as const) {
    if (typeof result[exclusive] !== 'boolean') continue
    if (result[exclusive]) result[exclusive] = result[bound]!
    else delete result[exclusive]
    if (result[exclusive] !== undefined) delete result[bound]
  }
  return result
}

function tryGrammar(schema: JsonValue): string | null {
  try {
    return schemaToGrammar(schema, { allowWhitespace: true, disableAdditionalProperties: false })
  } catch (error) {
    if (!(error instanceof InvalidRequestError)) throw error
    return null
  }
}

/** Properties come in one order: any order of an instance's may be it. */
async function anyAccepted(
  sampler: GrammarSampler,
  compiled: Awaited<ReturnType<GrammarSampler['compile']>>,
  data: JsonValue,
): Promise<boolean> {
  for (const value of orders(data)) if (await sampler.accepts(compiled, JSON.stringify(value))) return true
  return false
}

function* orders(data: JsonValue): Generator<JsonValue> {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return yield data
  const entries = Object.entries(data)
  const permute = function* (rest: typeof entries): Generator<typeof entries> {
    if (rest.length === 0) yield []
    for (const [index, first] of rest.entries())
      for (const others of permute(rest.toSpliced(index, 1))) yield [first, ...others]
  }
  for (const permuted of permute(entries)) yield Object.fromEntries(permuted)
}
