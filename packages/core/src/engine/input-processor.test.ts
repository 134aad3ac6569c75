import { describe, expect, it } from 'vitest'
import { resolveEngineConfig } from '../config/engine-config.ts'
import { InvalidRequestError } from '../errors.ts'
import { embeddedModelPath } from '../loading/embedded-model.ts'
import type { PromptInput } from './engine-client.ts'
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
