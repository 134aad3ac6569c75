import { completionRequestSchema } from '@octavo/sdk/protocol'
import { describe, expect, it } from 'vitest'
import { completionToGenerateRequests } from './completions.ts'

const context = { engineRequestId: 'e', model: 'm', cacheSalt: null }
const requestsOf = (body: object) => completionToGenerateRequests(completionRequestSchema.parse(body), context)

describe('completionToGenerateRequests', () => {
  it('makes one request per prompt', () => {
    const text = { type: 'text', addSpecialTokens: true }
    expect(requestsOf({ prompt: 'a' }).map(({ prompt }) => prompt)).toEqual([{ ...text, text: 'a' }])
    expect(requestsOf({ prompt: ['a', ''] }).map(({ prompt }) => prompt)).toEqual([
      { ...text, text: 'a' },
      { ...text, text: '' },
    ])
    expect(requestsOf({ prompt: [1, 2] }).map(({ prompt }) => prompt)).toEqual([{ type: 'tokens', tokenIds: [1, 2] }])
    expect(requestsOf({ prompt: [[1], [2, 3]] }).map(({ prompt }) => prompt)).toEqual([
      { type: 'tokens', tokenIds: [1] },
      { type: 'tokens', tokenIds: [2, 3] },
    ])
    expect(requestsOf({ prompt: ['a', 'b'] }).map(({ requestId }) => requestId)).toEqual(['e-0', 'e-1'])
  })

  it('gives all prompts the same parameters, which nobody changes', () => {
    const [a, b] = requestsOf({ prompt: ['a', 'b'], bad_words: ['x'] })
    expect(b?.params).toBe(a?.params)
    expect(a?.params).toSatisfy(Object.isFrozen)
  })

  it('makes 16 tokens by default, and the one that the engine insists on for an echo alone', () => {
    expect(requestsOf({ prompt: 'a' })[0]?.params.maxTokens).toBe(16)
    expect(requestsOf({ prompt: 'a', max_tokens: 3 })[0]?.params.maxTokens).toBe(3)
    expect(requestsOf({ prompt: 'a', max_tokens: 0, echo: true })[0]?.params.maxTokens).toBe(1)
  })

  it('asks for logprobs of the prompt when it is echoed with logprobs', () => {
    expect(requestsOf({ prompt: 'a', logprobs: 2 })[0]?.params).toMatchObject({ logprobs: 2, promptLogprobs: null })
    expect(requestsOf({ prompt: 'a', logprobs: 2, echo: true })[0]?.params).toMatchObject({
      logprobs: 2,
      promptLogprobs: 2,
    })
    expect(requestsOf({ prompt: 'a', logprobs: 2, echo: true, prompt_logprobs: 5 })[0]?.params).toMatchObject({
      promptLogprobs: 5,
    })
    expect(requestsOf({ prompt: 'a', echo: true })[0]?.params).toMatchObject({ logprobs: null, promptLogprobs: null })
  })
})
