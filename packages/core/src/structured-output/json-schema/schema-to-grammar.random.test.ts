import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { describe, expect, it } from 'vitest'
import { InvalidRequestError } from '../../errors.ts'
import { createRandom, GrammarSampler } from '../grammar-sampler.case.ts'
import { SchemaGenerator } from './random-schema.case.ts'
import { schemaToGrammar } from './schema-to-grammar.ts'

const numSchemas = 1000
const samplesPerSchema = 2

describe('schemaToGrammar', () => {
  it('writes grammars whose texts are all valid, by an independent validator', { timeout: 120_000 }, async () => {
    const sampler = await GrammarSampler.create()
    const ajv = new Ajv2020({ strict: false, ownProperties: true })
    addFormats.default(ajv)
    const random = createRandom(16)
    const generator = new SchemaGenerator(random)
    const invalid: unknown[] = []
    const refusals = new Map<string, number>()
    let numAccepted = 0
    let numSamples = 0
    let numEndless = 0
    for (let numTried = 0; numAccepted < numSchemas; numTried++) {
      expect(numTried).toBeLessThan(2 * numSchemas)
      const schema = generator.document()
      const grammar = tryGrammar(schema, { allowWhitespace: numTried % 2 === 0, refusals })
      if (grammar === null) continue
      numAccepted++
      const validate = ajv.compile(schema as object)
      const compiled = await sampler.compile(grammar)
      for (let count = 0; count < samplesPerSchema; count++) {
        const text = await sampler.sample(compiled, random)
        if (text === null) numEndless++
        else {
          numSamples++
          if (!validate(tryParse(text))) invalid.push({ schema, text, errors: validate.errors })
        }
      }
      compiled.dispose()
    }
    expect(invalid.slice(0, 3)).toEqual([])
    expect(numSamples).toBeGreaterThan(1.9 * numSchemas)
    expect(numEndless).toBeLessThan(0.05 * numSchemas)
    // What is refused says so: contradictions, and `oneOf` and `patternProperties` that cannot be proved.
    for (const message of refusals.keys()) expect(message).toMatch(/structuredOutput: /)
  })
})

function tryGrammar(
  schema: unknown,
  options: { readonly allowWhitespace: boolean; readonly refusals: Map<string, number> },
): string | null {
  try {
    return schemaToGrammar(schema, { allowWhitespace: options.allowWhitespace, disableAdditionalProperties: false })
  } catch (error) {
    if (!(error instanceof InvalidRequestError)) throw error
    options.refusals.set(error.message, (options.refusals.get(error.message) ?? 0) + 1)
    return null
  }
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return Symbol('no JSON')
  }
}
