import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ContextLengthError, EngineDeadError, InvalidConfigError, InvalidRequestError } from '../errors.ts'
import { LLM } from './llm.ts'

const models = fileURLToPath(new URL('../../../../fixtures/models/', import.meta.url))

interface GoldenInput {
  readonly text: string
  readonly pair?: string
  readonly ids: readonly number[]
  readonly logits: readonly number[]
  readonly probs: readonly number[]
}

interface GoldenEmbedding extends GoldenInput {
  readonly embedding: readonly number[]
  readonly last_token_hidden: readonly number[]
  readonly last_hidden_state?: readonly (readonly number[])[]
  readonly mean: readonly number[]
  readonly mean_normalized: readonly number[]
  readonly cls: readonly number[]
}

function goldenInputs<T extends GoldenInput = GoldenInput>(name: string): readonly T[] {
  return JSON.parse(readFileSync(`${models}${name}/golden.json`, 'utf8')).inputs
}

/** The files have six digits. */
function expectClose(actual: ArrayLike<number>, expected: readonly number[]): void {
  expect(actual).toHaveLength(expected.length)
  const largest = Math.max(...expected.map(Math.abs))
  expected.forEach((value, i) => expect(Math.abs(actual[i]! - value)).toBeLessThan(2e-5 * largest))
}

const load = (name: string, options = {}): Promise<LLM> => LLM.load(`${models}${name}`, { backend: 'cpu', ...options })

describe('an encoder that embeds', () => {
  const inputs = goldenInputs<GoldenEmbedding>('bert-embed')
  const texts = inputs.map(({ text }) => text)
  let llm: LLM
  beforeAll(async () => void (llm = await load('bert-embed')))
  afterAll(() => llm.shutdown())

  it('gives the embeddings that its files describe', async () => {
    const outputs = await llm.embed(texts)
    outputs.forEach(({ embedding, promptTokenIds, numCachedTokens }, i) => {
      expect(promptTokenIds).toEqual(inputs[i]!.ids)
      expectClose(embedding, inputs[i]!.mean_normalized)
      expect(numCachedTokens).toBe(0)
    })
    const raw = await llm.embed(texts, { useActivation: false })
    raw.forEach(({ embedding }, i) => expectClose(embedding, inputs[i]!.mean))
  })

  it('has a vector for each token', async () => {
    const known = inputs.filter(({ last_hidden_state: rows }) => rows !== undefined)
    expect(known.length).toBeGreaterThan(0)
    const outputs = await llm.encode(
      known.map(({ text }) => text),
      { task: 'token_embed', useActivation: false },
    )
    outputs.forEach(({ data, shape }, i) => {
      const rows = known[i]!.last_hidden_state!
      expect(shape).toEqual([rows.length, rows[0]!.length])
      expectClose(data, rows.flat())
    })
  })

  it('says what it does where it is asked for something else', async () => {
    expect(llm.engine.models[0]).toMatchObject({ tasks: ['embed', 'token_embed'], maxModelLen: 256 })
    await expect(llm.generate('Hello')).rejects.toThrow("'generate'; it does embed and token_embed.")
    await expect(llm.classify('Hello')).rejects.toThrow("'classify'; it does embed and token_embed.")
    await expect(llm.embed('Hello', { dimensions: 8 })).rejects.toThrow('were not trained to be cut')
    await expect(llm.embed('Hello', { promptName: 'query' })).rejects.toThrow('it has none')
    const pool = llm.engine.pool({
      requestId: 'a',
      prompt: { type: 'text', text: 'a' },
      pair: 'b',
      params: { task: 'embed' },
    })
    await expect(pool).rejects.toThrow('pair is for cross-encoders')
  })

  it('takes prompts as long as its context, and cuts longer ones between their special tokens', async () => {
    const text = 'the river runs past '.repeat(100)
    const tooLong = llm.embed(text)
    await expect(tooLong).rejects.toBeInstanceOf(ContextLengthError)
    await expect(tooLong).rejects.toThrow(/context is 256 tokens. Shorten the prompt to at most 256/)
    const [whole, cut] = await Promise.all([
      llm.embed(text, { truncatePromptTokens: -1 }),
      llm.embed(text, { truncatePromptTokens: 9 }),
    ])
    expect(whole[0]!.promptTokenIds).toHaveLength(256)
    const ids = whole[0]!.promptTokenIds
    expect(cut[0]!.promptTokenIds).toEqual([...ids.slice(0, 8), ids.at(-1)])
    const left = await llm.embed(text, { truncatePromptTokens: 9, truncationSide: 'left' })
    expect(left[0]!.promptTokenIds).toEqual([ids[0], ...llm.tokenizer.encode(text).slice(-8)])
    await expect(llm.embed(text, { truncatePromptTokens: 300 })).rejects.toThrow('from 1 to 256, got 300')
  })

  it('has a step for its longest prompt, however few tokens a step has otherwise', async () => {
    const small = await load('bert-embed', { maxNumBatchedTokens: 16, maxNumSeqs: 4 })
    const outputs = await small.embed(texts)
    outputs.forEach(({ embedding }, i) => expectClose(embedding, inputs[i]!.mean_normalized))
    await small.shutdown()
  })

  it('pools otherwise where it is told to', async () => {
    const first = await load('bert-embed', { poolingType: 'cls' })
    const outputs = await first.embed(texts, { useActivation: false })
    outputs.forEach(({ embedding }, i) => expectClose(embedding, inputs[i]!.cls))
    await first.shutdown()
    await expect(load('bert-embed', { poolingType: 'max' })).rejects.toBeInstanceOf(InvalidConfigError)
  })
})

describe('a decoder that was trained to embed', () => {
  it('gives the embeddings of its last tokens, also of a text that is cut', async () => {
    const inputs = goldenInputs<GoldenEmbedding>('qwen3-embedding')
    const llm = await load('qwen3-embedding')
    const texts = inputs.map(({ text }) => text)
    const [outputs, raw] = [await llm.embed(texts), await llm.embed(texts, { useActivation: false })]
    inputs.forEach(({ ids, embedding, last_token_hidden }, i) => {
      expect(outputs[i]!.promptTokenIds).toEqual(ids)
      expectClose(outputs[i]!.embedding, embedding)
      expectClose(raw[i]!.embedding, last_token_hidden)
    })
    const [cut] = await llm.embed(texts[1]!, { truncatePromptTokens: 6 })
    expect(cut!.promptTokenIds).toEqual([...inputs[1]!.ids.slice(0, 5), inputs[1]!.ids.at(-1)])
    const scores = await llm.score(texts[0]!, texts)
    expect(scores.map(({ score }) => score)[0]).toBeCloseTo(1, 6)
    await llm.shutdown()
  })
})

describe('classifiers', () => {
  it('of one text give probabilities of labels', async () => {
    const inputs = goldenInputs('qwen3-seqcls')
    const llm = await load('qwen3-seqcls')
    const alone = inputs.filter(({ pair }) => pair === undefined)
    const texts = alone.map(({ text }) => text)
    const [outputs, raw] = [await llm.classify(texts), await llm.classify(texts, { useActivation: false })]
    alone.forEach(({ ids, probs, logits }, i) => {
      expect(outputs[i]!.promptTokenIds).toEqual(ids)
      expectClose(outputs[i]!.probs, probs)
      expectClose(raw[i]!.probs, logits)
      expect(outputs[i]!.label).toBe(`LABEL_${probs.indexOf(Math.max(...probs))}`)
    })
    await expect(llm.score('a', 'b')).rejects.toThrow('this one has 3 labels')
    await expect(llm.embed('a')).rejects.toThrow("does not do the task 'embed'")
    await llm.shutdown()
  })

  it('of two texts give scores', async () => {
    const pairs = goldenInputs('bert-reranker').flatMap(({ pair, ...rest }) =>
      pair === undefined ? [] : [{ pair, ...rest }],
    )
    const llm = await load('bert-reranker')
    const [first, second] = [pairs.map(({ text }) => text), pairs.map(({ pair }) => pair)]
    const outputs = await llm.score(first, second)
    const raw = await llm.score(first, second, { useActivation: false })
    pairs.forEach(({ ids, probs, logits }, i) => {
      expect(outputs[i]!.promptTokenIds).toEqual(ids)
      expectClose([outputs[i]!.score], probs)
      expectClose([raw[i]!.score], logits)
    })
    const [query] = first
    const many = await llm.score(query!, second.slice(0, 2))
    expect(many[1]!.score).toBe(outputs[1]!.score)
    const cut = await llm.score(query!, second.slice(0, 1), { truncatePromptTokens: 11 })
    const whole = pairs[0]!.ids
    expect(cut[0]!.promptTokenIds).toEqual([...whole.slice(0, 5), whole[9], ...whole.slice(10, 14), whole.at(-1)])
    await expect(llm.score(['a', 'b'], ['c', 'd', 'e'])).rejects.toBeInstanceOf(InvalidRequestError)
    await llm.shutdown()
  })
})

describe('a decoder that generates', () => {
  let llm: LLM
  beforeAll(async () => void (llm = await LLM.load('octavo-tiny', { maxNumSeqs: 16, seed: 7 })))
  afterAll(() => llm.shutdown())

  const text = 'The small cat likes eight fish, and the old dog likes seven hats. '.repeat(3)

  it('embeds in the same batches, to the same bits and tokens', async () => {
    const question = [{ role: 'user', content: 'What is the capital of Norway?' }] as const
    const [alone] = await llm.embed(text)
    const answers = llm.chat([question, question], { temperature: 0 })
    const vectors = llm.embed([text, 'Seven hats', text])
    expect((await answers).map(({ outputs }) => outputs[0]!.text)).toEqual(
      Array(2).fill('The capital of Norway is Oslo.'),
    )
    const [first, other, last] = await vectors
    expect(first!.embedding).toEqual(alone!.embedding)
    expect(last!.embedding).toEqual(alone!.embedding)
    expect(other!.embedding).not.toEqual(alone!.embedding)
  })

  it('finds the beginning in the prefix cache where only the last token counts', async () => {
    const long = `${text}${text}`
    await llm.generate(long, { maxTokens: 1 })
    const [cached] = await llm.embed(long)
    expect(cached!.numCachedTokens).toBeGreaterThan(16)
    const [tokens] = await llm.encode(long, { task: 'token_embed' })
    expect(tokens!.numCachedTokens).toBe(0)
    const [numTokens, width] = tokens!.shape as [number, number]
    expect(numTokens).toBe(tokens!.promptTokenIds.length)
    expect(tokens!.data.slice(-width)).toEqual(cached!.embedding)
  })

  it('embeds conversations, which end with their last message', async () => {
    const messages = [{ role: 'user', content: 'What is the capital of Norway?' }]
    const pool = (prompt: object) =>
      llm.engine.pool({ requestId: 'chat', prompt: { type: 'chat', messages, ...prompt }, params: { task: 'embed' } })
    const ended = await pool({})
    const asked = await pool({ addGenerationPrompt: true })
    expect(asked.promptTokenIds.slice(0, ended.promptTokenIds.length)).toEqual(ended.promptTokenIds)
    expect(asked.promptTokenIds.length).toBeGreaterThan(ended.promptTokenIds.length)
  })

  it('refuses what is wrong with a request, which ends alone', async () => {
    await expect(llm.embed([[1, 2], []])).rejects.toThrow('The prompt is empty')
    await expect(llm.embed([[1, 1e6]])).rejects.toThrow('out of vocabulary')
    await expect(llm.embed('a', { priority: 1 })).rejects.toThrow("schedulingPolicy 'priority'")
    expect(await llm.embed([])).toEqual([])
    const twice = ['x', 'x'].map((requestId) =>
      llm.engine.pool({ requestId, prompt: { type: 'text', text }, params: { task: 'embed' } }),
    )
    await expect(twice[1]).rejects.toThrow('is still running')
    await twice[0]
  })

  it('forgets who goes away', async () => {
    const controller = new AbortController()
    const gone = llm.embed(Array(20).fill(text.repeat(8)), { signal: controller.signal })
    setTimeout(() => controller.abort(new Error('gone')), 5)
    await expect(gone).rejects.toThrow('gone')
    await expect(llm.embed('x', { signal: AbortSignal.abort(new Error('gone')) })).rejects.toThrow('gone')
    await llm.embed('x')
    expect(llm.engine.metrics()).toMatchObject({ numRunningSeqs: 0, numWaitingSeqs: 0 })
  })

  it('lets them end, or ends them, when it is shut down', async () => {
    const second = await LLM.load('octavo-tiny', { backend: 'cpu' })
    const many = second.embed(Array(8).fill(text))
    await second.engine.shutdown({ timeoutMs: 60_000 })
    expect(await many).toHaveLength(8)
    const third = await LLM.load('octavo-tiny', { backend: 'cpu' })
    const lost = third.embed(text.repeat(10))
    lost.catch(() => {})
    await new Promise((resolve) => setTimeout(resolve, 20))
    await third.shutdown()
    await expect(lost).rejects.toBeInstanceOf(EngineDeadError)
  })
})
