import type { OutputTokenLogprobs } from '@octavo/core'
import { describe, expect, it } from 'vitest'
import { TextOffsets } from './text-offsets.ts'

const bytesOf = (tokens: readonly string[]) => tokens.map((token) => [...Buffer.from(token)])
const entry = (textOffset: number): OutputTokenLogprobs => ({
  chosen: { tokenId: 0, logprob: 0, rank: 1, token: 'a', bytes: [97] },
  top: [],
  textOffset,
})

describe('TextOffsets of a prompt', () => {
  it.each([
    ['tokens that add up', 'one two', ['one', ' two'], [0, 3]],
    ['a special token that the text does not have', 'Hello', ['<s>', 'Hello'], [0, 0]],
    ['the space that SentencePiece puts in front', 'Hello you', ['<s>', ' Hello', ' you'], [0, 0, 5]],
    ['that space as a token of its own', 'Hello you', ['<s>', ' ', 'Hello', ' you'], [0, 0, 0, 5]],
    ['that space before a word that comes twice', 'you you', [' you', ' you'], [0, 3]],
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
    expect(offsets.ofOutput([entry(0), entry(4)])).toEqual([5, 9])
    expect(offsets.ofOutput([entry(5)])).toEqual([10])
  })

  it('begin at 0 without an echo', () => {
    expect(new TextOffsets().ofOutput([entry(0), entry(1)])).toEqual([0, 1])
  })
})
