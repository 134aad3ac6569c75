import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { OctavoError } from '../../errors.ts'
import { createTokenizer } from '../hf-tokenizer.ts'

interface Golden {
  readonly texts: readonly string[]
  readonly cases: readonly {
    readonly name: string
    readonly tokenizer: Record<string, unknown>
    readonly hashes: string
  }[]
}

const golden = JSON.parse(
  readFileSync(new URL('../../../../../fixtures/tokenizer-parts/golden.json', import.meta.url), 'utf8'),
) as Golden

function digest(encode: () => number[]): string {
  try {
    return createHash('sha1').update(encode().join(',')).digest('hex').slice(0, 8)
  } catch (error) {
    if (OctavoError.isInstance(error)) return '--------'
    throw error
  }
}

describe("each part, against Rust's tokenizers", () => {
  it.each(golden.cases)('$name', ({ tokenizer: tokenizerJson, hashes }) => {
    const tokenizer = createTokenizer({ tokenizerJson, tokenizerConfig: {}, chatTemplate: null })
    const wrong = golden.texts.filter(
      (text, i) => digest(() => tokenizer.encode(text, { addSpecialTokens: false })) !== hashes.slice(8 * i, 8 * i + 8),
    )
    expect(wrong).toEqual([])
  })
})

describe('long words', () => {
  const model = { type: 'BPE', unk_token: null, vocab: { é: 0, a: 1, éa: 2 }, merges: [['é', 'a']] }

  it('are joined across characters that the vocabulary lacks and leaves out', () => {
    const tokenizer = createTokenizer({ tokenizerJson: { model }, tokenizerConfig: {}, chatTemplate: null })
    for (const numPairs of [2, 20, 60]) {
      const expected = [...new Array<number>(numPairs - 1).fill(0), 2]
      expect(tokenizer.encode(`${'éx'.repeat(numPairs)}a`)).toEqual(expected)
    }
  })
})
