import { TurnQueue } from '@octavo/core'
import { describe, expect, it } from 'vitest'
import { promptOffsets } from './text-offsets.ts'

const bytesOf = (tokens: readonly string[]) => tokens.map((token) => [...Buffer.from(token)])
const offsetsOf = (text: string, tokens: readonly (readonly number[])[]) => promptOffsets(text, tokens, new TurnQueue())

describe('the text offsets of a prompt', () => {
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
  ])('knows %s', async (_title, text, tokens, offsets) => {
    expect(await offsetsOf(text, bytesOf(tokens))).toEqual({ offsets, length: Array.from(text).length })
  })

  it('knows a character in several tokens', async () => {
    const tokens = [...Buffer.from('x😀y')].map((byte) => [byte])
    expect((await offsetsOf('x😀y', tokens)).offsets).toEqual([0, 1, 2, 2, 2, 2])
  })
})
