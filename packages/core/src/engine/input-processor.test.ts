import { describe, expect, it } from 'vitest'
import { resolveEngineConfig } from '../config/engine-config.ts'
import { InvalidRequestError } from '../errors.ts'
import { embeddedModelPath } from '../loading/embedded-model.ts'
import type { PromptInput } from './engine-client.ts'
import { TurnQueue } from '../util/turn-queue.ts'
import { loadFrontModel } from './front-model.ts'
import { InputProcessor } from './input-processor.ts'

const modelPath = embeddedModelPath('octavo-tiny')
const config = resolveEngineConfig({ model: modelPath })
const front = await loadFrontModel(config, modelPath)

/** A model whose embedding has fewer rows than its tokenizer has tokens. */
const word = 'What'
const wordId = front.tokenizer.encode(word, { addSpecialTokens: false })[0]!
const processor = new InputProcessor({
  ...front,
  turns: new TurnQueue(),
  vocabSize: wordId,
  maxModelLen: 1024,
  maxLogprobs: 20,
  hasPriorities: false,
  seed: null,
})
const process = (prompt: PromptInput, badWords: string[] = []) =>
  processor.process({ requestId: 'r', prompt, params: { badWords } }, 0)

describe('sampling parameters', () => {
  const prompt = { type: 'tokens', tokenIds: [1] } as const
  const paramsOf = (params: object) => processor.process({ requestId: 'r', prompt, params }, 0)

  it('that are frozen are resolved once, but for the seed', async () => {
    const frozen = Object.freeze({ stop: ['a'], badWords: ['the'] })
    const [first, second] = [(await paramsOf(frozen)).params, (await paramsOf(frozen)).params]
    expect(second.badWordsTokenIds).toBe(first.badWordsTokenIds)
    expect(second.stop).toBe(first.stop)
    expect(second.seed).not.toBe(first.seed)
  })

  it('that are not may change from call to call', async () => {
    const open = { stop: ['a'] }
    const before = (await paramsOf(open)).params
    open.stop.push('b')
    expect(before.stop).toEqual(['a'])
    expect((await paramsOf(open)).params.stop).toEqual(['a', 'b'])
  })

  it('that are text stay on this side', async () => {
    const { params, sequences } = await paramsOf({ stop: ['a'], badWords: ['the'] })
    expect(params).toMatchObject({ stop: ['a'], badWords: ['the'] })
    expect(sequences[0]?.params).toMatchObject({ stop: [], badWords: [], badWordsTokenIds: params.badWordsTokenIds })
  })
})

describe('token ids beyond the vocabulary', () => {
  it.each<[string, PromptInput]>([
    ['token ids', { type: 'tokens', tokenIds: [1, wordId] }],
    ['a text', { type: 'text', text: word }],
    [
      'a conversation',
      { type: 'chat', messages: [{ role: 'user', content: word }], chatTemplate: '{{ messages[0].content }}' },
    ],
  ])('in %s are refused with the token, its id and the range', async (_, prompt) => {
    await expect(process(prompt)).rejects.toThrow(InvalidRequestError)
    await expect(process(prompt)).rejects.toThrow(
      new RegExp(`token id ${wordId} \\(".*What"\\), which is out of vocabulary.*0 to ${wordId - 1}`),
    )
  })

  it('in bad words are no words of the model', async () => {
    const prompt = { type: 'tokens', tokenIds: [1] } as const
    expect((await process(prompt, [word])).params.badWordsTokenIds.flat()).not.toContain(wordId)
  })
})

describe('many requests at once', () => {
  /** Every piece of work has a turn of its own; what was encoded in it is noted. */
  const setup = () => {
    let turn = 0
    const encoded: { text: string; turn: number }[] = []
    const nextTurn = (run: () => void): void =>
      void setImmediate(() => {
        turn++
        run()
      })
    const paced = new InputProcessor({
      ...front,
      promptEncoder: {
        encode(text, options) {
          encoded.push({ text, turn })
          return front.promptEncoder.encode(text, options)
        },
        encodePair: (...args) => front.promptEncoder.encodePair(...args),
        close: async () => {},
      },
      turns: new TurnQueue({ budgetMs: 0, clock: { now: () => 0, nextTurn } }),
      maxModelLen: 1024,
      maxLogprobs: 20,
      hasPriorities: false,
      seed: 1,
    })
    const prepare = (text: string, params: object = {}, signal?: AbortSignal) =>
      paced.process({ requestId: text, prompt: { type: 'text', text }, params }, 0, signal)
    return { encoded, prepare }
  }
  const texts = Array.from({ length: 20 }, (_, i) => `prompt ${i}`)

  it('are prepared a few in each turn, and come out in order with the seeds of that order', async () => {
    const { encoded, prepare } = setup()
    const done: string[] = []
    const seeds = await Promise.all(
      texts.map(async (text) => {
        const { params } = await prepare(text)
        done.push(text)
        return params.seed
      }),
    )
    expect(encoded.map(({ text }) => text)).toEqual(texts)
    expect(new Set(encoded.map(({ turn }) => turn)).size).toBe(texts.length)
    expect(done).toEqual(texts)
    const alone = setup()
    for (const [i, text] of texts.entries()) expect((await alone.prepare(text)).params.seed).toBe(seeds[i])
  })

  it('do not wait for all prompts of one that came before', async () => {
    const { encoded, prepare } = setup()
    const params = Object.freeze({ maxTokens: 1 })
    const many = texts.map((text) => prepare(text, params))
    await Promise.all([...many, prepare('the other')])
    const at = encoded.findIndex(({ text }) => text === 'the other')
    expect(at).toBeLessThanOrEqual(2)
  })

  it('may have bad words by the thousand: each is a piece, and each list is encoded once', async () => {
    const { encoded, prepare } = setup()
    const params = Object.freeze({ badWords: texts })
    const prepared = await Promise.all(['a', 'b', 'c'].map((text) => prepare(text, params)))
    expect(encoded.filter(({ text }) => text.startsWith('prompt')).map(({ text }) => text)).toEqual(texts)
    expect(new Set(encoded.filter(({ text }) => text.includes('prompt')).map(({ turn }) => turn)).size).toBe(
      texts.length,
    )
    expect(new Set(prepared.map(({ params: { badWordsTokenIds } }) => badWordsTokenIds)).size).toBe(1)
  })

  it('that give up while they wait are not prepared', async () => {
    const { encoded, prepare } = setup()
    const controller = new AbortController()
    const first = prepare('first')
    const second = prepare('second', {}, controller.signal)
    controller.abort(new Error('gone'))
    await expect(second).rejects.toThrow('gone')
    await first
    expect(encoded.map(({ text }) => text)).toEqual(['first'])
  })

  it('fail alone, with the same error as ever', async () => {
    const { prepare } = setup()
    const params = Object.freeze({ temperature: 3 })
    const [good, bad, again] = await Promise.allSettled([prepare('a'), prepare('b', params), prepare('c', params)])
    expect(good.status).toBe('fulfilled')
    for (const end of [bad, again])
      expect(end).toMatchObject({ reason: { message: 'temperature must be a number from 0 to 2, got 3.' } })
    await expect(prepare('d', params)).rejects.toThrow(InvalidRequestError)
  })
})
