import { afterEach, describe, expect, it } from 'vitest'
import { EngineDeadError, InvalidRequestError } from '../errors.ts'
import type { StructuredOutput } from '../structured-output/structured-output.ts'
import { GrammarTranslator } from './grammar-translator.ts'
import { translateGrammar } from './translate-grammar.ts'

const open: GrammarTranslator[] = []

afterEach(async () => {
  await Promise.all(open.splice(0).map((translator) => translator.close()))
})

function create(): GrammarTranslator {
  const translator = new GrammarTranslator()
  open.push(translator)
  return translator
}

const inputOf = (structured: StructuredOutput) => ({ structured, format: null, offered: null, parallel: true })
const schemaOf = (numProperties: number) => ({
  type: 'object',
  properties: Object.fromEntries(
    Array.from({ length: numProperties }, (_, i) => [`property_${i}`, { type: 'string', maxLength: 50 }]),
  ),
})

describe('GrammarTranslator', () => {
  it('makes the grammar elsewhere, while this thread goes on', async () => {
    const input = inputOf({ type: 'json', schema: schemaOf(60) })
    let numTurns = 0
    const timer = setInterval(() => numTurns++, 1)
    const grammar = await create().translate(input)
    clearInterval(timer)
    expect(grammar).toBe(translateGrammar(input))
    expect(numTurns).toBeGreaterThan(5)
  })

  it('makes one for all requests that are alike, at once or later', async () => {
    const translator = create()
    const input = inputOf({ type: 'choice', choices: ['a', 'b'] })
    const first = translator.translate(input)
    expect(translator.translate(structuredClone(input))).toBe(first)
    await first
    expect(translator.translate(input)).toBe(first)
    expect(translator.translate(inputOf({ type: 'choice', choices: ['a'] }))).not.toBe(first)
  })

  it('fails with the same error as ever, and goes on', async () => {
    const translator = create()
    const bad = inputOf({ type: 'regex', pattern: '(a' })
    for (let i = 0; i < 2; i++) {
      const failing = translator.translate(bad)
      await expect(failing).rejects.toThrow(InvalidRequestError)
      await expect(failing).rejects.toMatchObject({ param: 'structuredOutput' })
    }
    expect(await translator.translate(inputOf({ type: 'regex', pattern: 'a' }))).toContain('grammar')
  })

  it('keeps a bounded amount, the last used', async () => {
    const translator = create()
    const large = (i: number) => inputOf({ type: 'json', schema: { const: i, description: 'x'.repeat(400_000) } })
    const first = translator.translate(large(0))
    await first
    for (let i = 1; i < 40; i++) {
      await translator.translate(large(i))
      if (i === 15) expect(translator.translate(large(0))).toBe(first)
    }
    expect(translator.translate(large(0))).not.toBe(first)
  }, 60_000)

  it('refuses what is no JSON, and everything once it is closed', async () => {
    const translator = create()
    const circular: Record<string, unknown> = {}
    circular['a'] = circular
    expect(() => translator.translate(inputOf({ type: 'json', schema: circular }))).toThrow(
      /structuredOutput must be JSON/,
    )
    await translator.close()
    await expect(translator.translate(inputOf({ type: 'jsonObject' }))).rejects.toThrow(EngineDeadError)
  })
})
