import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { EngineModule } from '../config/engine-module.ts'
import type { SamplingParamsInput } from '../sampling-params.ts'
import type { CompletionOutput } from '../sequence/outputs.ts'
import type { StructuredOutput } from '../structured-output/structured-output.ts'
import { LLM } from './llm.ts'

let llm: LLM
beforeAll(async () => {
  llm = await LLM.load('octavo-tiny', { backend: 'wasm' })
})
afterAll(() => llm.shutdown())

async function outputsOf(
  structuredOutput: StructuredOutput,
  params: SamplingParamsInput = {},
  from: LLM = llm,
): Promise<readonly CompletionOutput[]> {
  const [output] = await from.generate(['Once there was'], {
    maxTokens: 60,
    temperature: 1,
    seed: 1,
    ...params,
    structuredOutput,
  })
  return output?.outputs ?? []
}

async function textsOf(...args: Parameters<typeof outputsOf>): Promise<string[]> {
  return (await outputsOf(...args)).map(({ text }) => text)
}

const number = /^-?\d{1,3}\.\d\d$/
const regex: StructuredOutput = { type: 'regex', pattern: number.source.slice(1, -1) }

describe('structured output', () => {
  it('is one of the choices, in every sample', async () => {
    const choices = ['yes', 'no', 'perhaps, é 🎈 "quoted"\n', '']
    const texts = await textsOf({ type: 'choice', choices }, { n: 16 })
    expect(texts).toHaveLength(16)
    for (const text of texts) expect(choices).toContain(text)
    const [chat] = await llm.chat([{ role: 'user', content: 'Is it?' }], {
      temperature: 0,
      structuredOutput: { type: 'choice', choices: ['AAA', 'BBB'] },
    })
    expect(['AAA', 'BBB']).toContain(chat?.outputs[0]?.text)
  })

  it('matches the regular expression as a whole, the grammar, the tag, the schema', async () => {
    for (const text of await textsOf(regex, { n: 8 })) expect(text).toMatch(number)
    const grammar = 'root ::= "<" word ("," word)* ">"\nword ::= [a-z]{1,5}'
    for (const { text, finishReason } of await outputsOf({ type: 'grammar', grammar }, { n: 8 }))
      if (finishReason === 'stop') expect(text).toMatch(/^<[a-z]{1,5}(,[a-z]{1,5})*>$/)
    const schema = {
      type: 'object',
      properties: { ok: { type: 'boolean' }, n: { enum: [1, 22] } },
      required: ['ok', 'n'],
    }
    for (const text of await textsOf({ type: 'json', schema, additionalProperties: false }, { n: 4, maxTokens: 200 }))
      expect(JSON.parse(text)).toMatchObject({ ok: expect.any(Boolean), n: expect.any(Number) })
  })

  it('ends with its grammar, though minTokens wants more, and goes on freely where its end is ignored', async () => {
    const choice: StructuredOutput = { type: 'choice', choices: ['yes', 'no'] }
    for (const { text, finishReason } of await outputsOf(choice, { n: 4, minTokens: 30 }))
      expect([text, finishReason]).toEqual([expect.stringMatching(/^(yes|no)$/), 'stop'])
    for (const { text, tokenIds, finishReason } of await outputsOf(choice, { n: 4, ignoreEos: true, maxTokens: 20 }))
      expect([text, tokenIds.length, finishReason]).toEqual([expect.stringMatching(/^(yes|no)/), 20, 'length'])
  })

  it('goes with penalties, bans and logprobs, and without drawing in the kernel', async () => {
    const params = { n: 4, logprobs: 2, repetitionPenalty: 1.5, badWords: ['1'], logitBias: { 5: 100 } }
    for (const { text, logprobs } of await outputsOf(regex, params)) {
      expect(text).toMatch(number)
      expect(text).not.toContain('1')
      expect(logprobs?.length).toBeGreaterThan(4)
    }
  })

  it('holds whoever draws: logits processors and samplers from outside', async () => {
    const wantsToken = `logits[5] = 1000`
    const processors = `export const createLogitsProcessors = () => [{ apply: (logits) => { ${wantsToken} } }]`
    const sampler = `export const createSampler = () => ({
      sample: (logits, rows) => rows.map(({ row }) => {
        const values = logits.row(row)
        return { tokenId: values.indexOf(Math.max(...values)), logprobs: null }
      }),
    })`
    const broken = `export const createSampler = () => ({ sample: (_, rows) => rows.map(() => ({ tokenId: 5, logprobs: null })) })`
    for (const [kind, source] of [
      ['logits-processors', processors],
      ['sampler', sampler],
    ] as const) {
      await using other = await LLM.load('octavo-tiny', { backend: 'cpu', modules: [moduleOf(kind, source)] })
      for (const text of await textsOf(regex, { temperature: 0, seed: null }, other)) expect(text).toMatch(number)
    }
    await using other = await LLM.load('octavo-tiny', { backend: 'cpu', modules: [moduleOf('sampler', broken)] })
    await expect(textsOf(regex, {}, other)).rejects.toThrow('does not allow')
  })

  it('refuses what cannot be compiled, and nobody else notices', async () => {
    const plain = llm.generate(['The cat'], { temperature: 0, maxTokens: 30, ignoreEos: true })
    const refused = async (structuredOutput: unknown): Promise<string> =>
      textsOf(structuredOutput as StructuredOutput).then(
        (texts) => `gave ${texts.join()}`,
        (error: Error) => `${error.name}: ${error.message}`,
      )
    expect(await refused({ type: 'grammar', grammar: 'root ::= foo' })).toMatch(/^InvalidRequestError.*foo/)
    expect(
      await refused({ type: 'grammar', grammar: `root ::= ${'('.repeat(50_000)}"a"${')'.repeat(50_000)}` }),
    ).toMatch(/^InvalidRequestError/)
    expect(await refused({ type: 'regex', pattern: '(a' })).toMatch(/^InvalidRequestError/)
    expect(await refused({ type: 'choice', choices: [] })).toMatch(
      /^InvalidRequestError.*structuredOutput of type choice/,
    )
    expect(await refused({ type: 'other' })).toMatch(/"other"; the known ones are json/)
    expect(await refused('regex')).toMatch(/must be an object/)
    expect((await plain)[0]?.outputs[0]?.tokenIds).toHaveLength(30)
  })

  it('needs the tokenizer of the checkpoint', async () => {
    await using other = await LLM.load('octavo-tiny', {
      backend: 'cpu',
      createTokenizer: () => llm.engine.tokenizer,
    })
    await expect(textsOf(regex, {}, other)).rejects.toThrow(/structuredOutput.*createTokenizer/)
  })
})

function moduleOf(kind: EngineModule['kind'], source: string): EngineModule {
  return { kind, name: 'test', url: `data:text/javascript,${encodeURIComponent(source)}` }
}
