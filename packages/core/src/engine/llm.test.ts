import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  ContextLengthError,
  EngineDeadError,
  InsufficientMemoryError,
  InvalidConfigError,
  InvalidRequestError,
  ModelNotFoundError,
} from '../errors.ts'
import type { RequestOutput } from '../sequence/outputs.ts'
import { LLM, loadModel } from './llm.ts'

const question = [{ role: 'user', content: 'What is the capital of Norway?' }] as const
const answer = 'The capital of Norway is Oslo.'
const greedy = { temperature: 0 } as const

async function collect(stream: AsyncIterable<RequestOutput>): Promise<RequestOutput[]> {
  const outputs: RequestOutput[] = []
  for await (const output of stream) outputs.push(output)
  return outputs
}

describe('LLM with the embedded model', () => {
  let llm: LLM

  beforeAll(async () => {
    llm = await LLM.load('octavo-tiny', { maxNumSeqs: 16, seed: 7 })
  }, 60_000)

  afterAll(() => llm.shutdown())

  it('resolves once what all prompts of a call have in common', async () => {
    let numReads = 0
    const params = {
      maxTokens: 1,
      get stop() {
        numReads++
        return ['cat']
      },
    }
    expect(await llm.generate(Array(20).fill('The'), params)).toHaveLength(20)
    expect(numReads).toBe(1)
  })

  it('infers: a question in, an answer out', async () => {
    expect(await llm.infer('What is the capital of Norway?', greedy)).toBe(answer)
    expect(
      await llm.infer([
        ...question,
        { role: 'assistant', content: answer },
        { role: 'user', content: 'What is 47 + 35?' },
      ]),
    ).toBe('47 + 35 = 82.')
  })

  it('chats, one conversation or several', async () => {
    const [one] = await llm.chat(question, greedy)
    expect(one).toMatchObject({
      finished: true,
      outputs: [{ index: 0, text: answer, finishReason: 'stop', stopReason: null }],
    })
    const several = await llm.chat([question, [{ role: 'user', content: 'What is 90 - 8?' }]], greedy)
    expect(several.map((output) => output.outputs[0]?.text)).toEqual([answer, '90 - 8 = 82.'])
  })

  it('cuts a prompt to what is asked for', async () => {
    const promptTokenIds = [1, 2, 3, 4, 5]
    const cut = (options: object) => llm.generate(promptTokenIds, { maxTokens: 1 }, options)
    expect((await cut({ truncatePromptTokens: 2 }))[0]?.promptTokenIds).toEqual([4, 5])
    expect((await cut({ truncatePromptTokens: 2, truncationSide: 'right' }))[0]?.promptTokenIds).toEqual([1, 2])
    const long = [{ role: 'user', content: 'word '.repeat(3000) }] as const
    await expect(llm.chat(long)).rejects.toThrow('truncatePromptTokens')
    const [answered] = await llm.chat(long, { maxTokens: 1 }, { truncatePromptTokens: -1 })
    expect(answered?.promptTokenIds).toHaveLength(1023)
  })

  it('streams what the final output holds', async () => {
    const deltas = await collect(llm.chatStream(question, greedy))
    expect(deltas.length).toBeGreaterThan(3)
    expect(deltas.map((output) => output.outputs[0]?.text).join('')).toBe(answer)
    expect(deltas.map((output) => output.finished)).toEqual([...deltas.slice(1).map(() => false), true])
  })

  it('completes texts and token ids, each with its own parameters', async () => {
    const outputs = await llm.generate(
      ['The', [100, 200, 300]],
      [
        { maxTokens: 3, ignoreEos: true },
        { maxTokens: 5, ignoreEos: true },
      ],
    )
    expect(outputs.map((output) => output.outputs[0]?.tokenIds.length)).toEqual([3, 5])
    expect(outputs.map((output) => output.outputs[0]?.finishReason)).toEqual(['length', 'length'])
    expect(outputs[1]).toMatchObject({ prompt: null, promptTokenIds: [100, 200, 300] })
    await expect(llm.generate(['a', 'b'], [greedy])).rejects.toThrow(InvalidRequestError)
  })

  it('gives n samples, the same for the same seed', async () => {
    const sample = (seed: number) =>
      llm.generate('The', { n: 3, seed, temperature: 1.5, maxTokens: 8, ignoreEos: true })
    const [[first], [again], [other]] = [await sample(3), await sample(3), await sample(4)]
    const texts = (output: RequestOutput | undefined) => output?.outputs.map((o) => o.text)
    expect(new Set(texts(first)).size).toBe(3)
    expect(texts(again)).toEqual(texts(first))
    expect(texts(other)).not.toEqual(texts(first))
  })

  it('reports logprobs of the output and of the prompt', async () => {
    const [output] = await llm.generate('The cat', {
      ...greedy,
      maxTokens: 4,
      logprobs: 3,
      promptLogprobs: 2,
      ignoreEos: true,
    })
    const sample = output?.outputs[0]
    expect(sample?.logprobs?.map((l) => [l.chosen.tokenId, l.top.length])).toEqual(
      sample?.tokenIds.map((id) => [id, 3]),
    )
    expect(sample?.logprobs?.every((l) => l.chosen.rank === 1 && l.chosen.logprob <= 0)).toBe(true)
    expect(output?.promptLogprobs?.map((entry) => entry?.chosen.tokenId ?? null)).toEqual([
      null,
      ...(output?.promptTokenIds.slice(1) ?? []),
    ])
  })

  it('finds shared prefixes in the cache, and gives the same answer', async () => {
    const messages = [
      { role: 'user', content: `${'The weather was windy. '.repeat(12)}What is the capital of Norway?` },
    ] as const
    const [cold] = await llm.chat(messages, greedy)
    const [warm] = await llm.chat(messages, greedy)
    expect(cold?.numCachedTokens).toBe(0)
    expect(warm?.numCachedTokens).toBeGreaterThanOrEqual(64)
    expect(warm?.outputs).toEqual(cold?.outputs)
  })

  it('frees the blocks of an aborted request within a step', async () => {
    const abort = new AbortController()
    const stream = llm.generateStream('The', { maxTokens: 900, ignoreEos: true }, { signal: abort.signal })
    let numOutputs = 0
    const consume = async (): Promise<void> => {
      for await (const output of stream) {
        if (++numOutputs === 5) abort.abort()
        if (output.finished) expect(output.outputs[0]?.finishReason).toBe('abort')
      }
    }
    await expect(consume()).rejects.toThrow(/abort/i)
    await llm.infer('Hello!', { maxTokens: 2 })
    expect(llm.engine.metrics()).toMatchObject({ numRunningSeqs: 0, numWaitingSeqs: 0, kvCacheUsage: 0 })
    expect(numOutputs).toBeLessThan(100)
  })

  it('aborts when the consumer leaves', async () => {
    for await (const _ of llm.generateStream('The', { maxTokens: 900, ignoreEos: true })) break
    await llm.infer('Hello!', { maxTokens: 2 })
    expect(llm.engine.metrics().numRunningSeqs).toBe(0)
  })

  it('refuses bad input and serves the next request', async () => {
    await expect(llm.chat([], greedy)).rejects.toThrow(InvalidRequestError)
    await expect(llm.generate('', greedy)).rejects.toThrow(/prompt is empty/)
    await expect(llm.generate('x', { temperature: -1 })).rejects.toThrow(/temperature/)
    const untyped = llm as unknown as Record<'generate' | 'chat' | 'infer', (...args: unknown[]) => Promise<unknown>>
    for (const wrong of [
      undefined,
      null,
      5,
      {},
      [null],
      ['a', 5],
      [['x']],
      [{ content: 'x' }],
      [{ role: 'user', content: 5 }],
    ]) {
      for (const method of ['generate', 'chat', 'infer'] as const)
        await expect(untyped[method](wrong), `${method} ${JSON.stringify(wrong)}`).rejects.toThrow(InvalidRequestError)
    }
    await expect(llm.generate([[99_999]])).rejects.toThrow(/99999.*0 to 2559/)
    await expect(llm.generate(Array.from({ length: 1024 }, () => 5))).rejects.toThrow(ContextLengthError)
    const unknown = llm.engine.generate({
      requestId: 'x',
      model: 'gpt-9',
      prompt: { type: 'text', text: 'x' },
      params: {},
    })
    await expect(collect(unknown)).rejects.toThrow(ModelNotFoundError)
    expect(await llm.infer('What is the capital of Norway?')).toBe(answer)
  })

  it('keeps a bad word away at the start of a text and after a space', async () => {
    const said = async (badWords: string[]) =>
      (await llm.chat([{ role: 'user', content: 'Translate into English: 猫很大。' }], { ...greedy, badWords }))[0]
        ?.outputs[0]?.text
    expect(await said([])).toBe('The cat is big.')
    for (const word of ['The', 'cat', 'is', 'big']) expect(await said([word])).not.toMatch(new RegExp(`\\b${word}\\b`))
  })

  it('fills the context and stops there', async () => {
    const [output] = await llm.generate([Array.from({ length: 1020 }, (_, i) => 100 + i)], {
      maxTokens: null,
      ignoreEos: true,
    })
    expect(output?.outputs[0]).toMatchObject({ finishReason: 'length' })
    expect(output?.outputs[0]?.tokenIds).toHaveLength(4)
  })

  it('uses no CPU when idle', async () => {
    await llm.infer('Hello!')
    await sleep(50)
    const before = process.cpuUsage()
    await sleep(1000)
    const { user, system } = process.cpuUsage(before)
    expect((user + system) / 1e6, 'CPU seconds in one idle second').toBeLessThan(0.1)
  })
})

describe('LLM life cycle', () => {
  it('ends with await using, and refuses requests afterwards', async () => {
    let kept: LLM
    {
      await using llm = await loadModel('octavo-tiny', { backend: 'cpu' })
      kept = llm
      expect(await llm.infer('What is the capital of Norway?')).toBe(answer)
    }
    await expect(kept.infer('Hello!')).rejects.toThrow(EngineDeadError)
  })

  it('gives running requests their time to finish, then ends them', async () => {
    const llm = await LLM.load('octavo-tiny')
    const short = llm.infer('What is the capital of Norway?')
    const long = llm.generate('The', { maxTokens: 1000, ignoreEos: true })
    await sleep(20)
    await llm.engine.shutdown({ timeoutMs: 150 })
    expect((await long)[0]?.outputs[0]?.finishReason).toMatch(/abort|length/)
    expect(answer.startsWith(await short)).toBe(true)
  })

  it.each([
    [ModelNotFoundError, 'no-such-folder/', {}],
    [InvalidConfigError, 'octavo-tiny', { maxModelLen: 5000 }],
    [InvalidConfigError, 'octavo-tiny', { maxNumSeq: 3 }],
    [InsufficientMemoryError, 'octavo-tiny', { kvCacheMemory: 20_000 }],
    [InsufficientMemoryError, 'octavo-tiny', { kvCacheMemory: '900GiB' }],
  ])('fails to load with %o: %s %j', async (errorClass, model, options) => {
    await expect(LLM.load(model, options as Parameters<typeof LLM.load>[1])).rejects.toThrow(errorClass)
  })
})
