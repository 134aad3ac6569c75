import { describe, expect, it } from 'vitest'
import { resolveEngineConfig } from '../config/engine-config.ts'
import { InvalidRequestError } from '../errors.ts'
import { embeddedModelPath } from '../loading/embedded-model.ts'
import type { PromptInput } from './engine-client.ts'
import { loadFrontModel } from './front-model.ts'
import { InputProcessor } from './input-processor.ts'

const modelPath = embeddedModelPath('octavo-tiny')!
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

describe('token ids beyond the vocabulary', () => {
  it.each<[string, PromptInput]>([
    ['token ids', { type: 'tokens', tokenIds: [1, wordId] }],
    ['a text', { type: 'text', text: word }],
    [
      'a conversation',
      { type: 'chat', messages: [{ role: 'user', content: word }], chatTemplate: '{{ messages[0].content }}' },
    ],
  ])('in %s are refused with the token, its id and the range', (_, prompt) => {
    expect(() => process(prompt)).toThrow(InvalidRequestError)
    expect(() => process(prompt)).toThrow(
      new RegExp(`token id ${wordId} \\(".*What"\\), which is out of vocabulary.*0 to ${wordId - 1}`),
    )
  })

  it('in bad words are no words of the model', () => {
    const prompt = { type: 'tokens', tokenIds: [1] } as const
    expect(process(prompt, [word]).params.badWordsTokenIds.flat()).not.toContain(wordId)
  })
})
