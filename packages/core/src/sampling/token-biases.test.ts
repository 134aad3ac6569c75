import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { defaultSamplingParams, type SamplingParams } from '../sampling-params.ts'
import { TokenBiases } from './token-biases.ts'

const vocabSize = 20

function biasesOf(params: Partial<SamplingParams>, eosTokenIds: readonly number[] = []): TokenBiases {
  return new TokenBiases({ params: { ...defaultSamplingParams, ...params }, eosTokenIds, vocabSize })
}

function bannedAt(biases: TokenBiases, tokenIds: readonly number[], numPromptTokens: number): number[] {
  return [...new Set(biases.at(tokenIds, numPromptTokens).map(({ tokenId }) => tokenId))].sort((a, b) => a - b)
}

/** Word by word, as it is defined. */
function bannedByDefinition(
  words: readonly number[][],
  tokenIds: readonly number[],
  numPromptTokens: number,
): number[] {
  const banned = new Set<number>()
  for (const word of words) {
    const prefix = word.slice(0, -1)
    const start = tokenIds.length - prefix.length
    if (word.length > 0 && start >= numPromptTokens && prefix.every((id, i) => tokenIds[start + i] === id))
      banned.add(word.at(-1)!)
  }
  return [...banned].filter((id) => id < vocabSize).sort((a, b) => a - b)
}

describe('TokenBiases', () => {
  it('bans the last token of each bad word whose other tokens the output ends with', () => {
    const ids = (maxLength: number) => fc.array(fc.nat(3), { maxLength })
    fc.assert(
      fc.property(fc.array(ids(4), { maxLength: 12 }), ids(6), ids(8), (words, prompt, output) => {
        const biases = biasesOf({ badWordsTokenIds: words })
        const tokenIds = [...prompt, ...output]
        const expected = bannedByDefinition(words, tokenIds, prompt.length)
        expect(bannedAt(biases, tokenIds, prompt.length)).toEqual(expected)
      }),
    )
  })

  it('leaves out tokens beyond the vocabulary', () => {
    expect(bannedAt(biasesOf({ badWordsTokenIds: [[5], [vocabSize], [1, 99]] }, [2]), [1], 0)).toEqual([5])
  })

  it('bans what ends a sequence until minTokens, and adds the clamped logit bias', () => {
    const biases = biasesOf({ minTokens: 2, stopTokenIds: [4], logitBias: { 7: 250, 8: -1e9, 9: 3 } }, [2])
    const bias = [
      { tokenId: 7, value: 100 },
      { tokenId: 8, value: -100 },
      { tokenId: 9, value: 3 },
    ]
    expect(biases.at([1, 1], 1)).toEqual([{ tokenId: 2, value: -Infinity }, { tokenId: 4, value: -Infinity }, ...bias])
    expect(biases.at([1, 1, 1], 1)).toEqual(bias)
  })

  it('reads the list once for all samples of a request, never in a step', () => {
    const words = Array.from({ length: 65_536 }, (_, i) => [i & 0xff, i >> 8, i % 7])
    const leader = biasesOf({ badWordsTokenIds: words })
    words.length = 0
    for (const biases of [leader, biasesOf({ badWordsTokenIds: words })])
      expect(biases.at([3, 5, 1], 1)).toEqual([{ tokenId: ((1 << 8) | 5) % 7, value: -Infinity }])
  })
})
