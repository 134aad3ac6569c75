import type { DecodedTokenLogprobs } from '@octavo/core'
import { describe, expect, it } from 'vitest'
import { TextOffsets } from './text-offsets.ts'

const bytesOf = (tokens: readonly string[]) => tokens.map((token) => [...Buffer.from(token)])
const chosen = (token: string, isSpecial = false): DecodedTokenLogprobs => ({
  chosen: { tokenId: 0, logprob: 0, rank: 1, token, bytes: [...Buffer.from(token)], ...(isSpecial && { isSpecial }) },
  top: [],
})

describe('TextOffsets of a prompt', () => {
  it.each([
    ['tokens that add up', 'one two', ['one', ' two'], [0, 3]],
    ['a special token that the text does not have', 'Hello', ['<s>', 'Hello'], [0, 0]],
    ['the space that SentencePiece puts in front', 'Hello you', ['<s>', ' Hello', ' you'], [0, 0, 5]],
    ['special tokens that the text has', '<s>Hi<e>', ['<s>', 'Hi', '<e>'], [0, 3, 5]],
    ['code points', '😀é x', ['😀', 'é', ' x'], [0, 1, 2]],
    ['spaces that tokenizing dropped', 'a   b', ['a', 'b'], [0, 4]],
    ['a token that is nowhere, so that the next is found', 'a b', ['a', '[UNK]', ' b'], [0, 1, 1]],
  ])('knows %s', (_title, text, tokens, offsets) => {
    expect(new TextOffsets().ofPrompt(text, bytesOf(tokens))).toEqual(offsets)
  })

  it('knows a character in several tokens', () => {
    const tokens = [...Buffer.from('x😀y')].map((byte) => [byte])
    expect(new TextOffsets().ofPrompt('x😀y', tokens)).toEqual([0, 1, 2, 2, 2, 2])
  })
})

describe('TextOffsets of an output', () => {
  it('go on from the prompt, part by part', () => {
    const offsets = new TextOffsets()
    offsets.ofPrompt('Hello', bytesOf(['<s>', ' Hello']))
    expect(offsets.ofOutput([chosen(' you'), chosen('!')], true)).toEqual([5, 9])
    expect(offsets.ofOutput([chosen('x')], true)).toEqual([10])
  })

  it('give special tokens a length only where the text has them', () => {
    const tokens = [chosen('a'), chosen('<e>', true), chosen('b')]
    expect(new TextOffsets().ofOutput(tokens, true)).toEqual([0, 1, 1])
    expect(new TextOffsets().ofOutput(tokens, false)).toEqual([0, 1, 4])
  })
})
