import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { createTokenizer } from './hf-tokenizer.ts'

interface Golden {
  readonly postProcessors: readonly {
    readonly name: string
    readonly tokenizer: Record<string, unknown>
    readonly encoded: readonly {
      readonly text: string
      readonly pair: string | null
      readonly addSpecialTokens: boolean
      readonly ids: readonly number[]
      readonly typeIds: readonly number[]
    }[]
  }[]
}

const { postProcessors } = JSON.parse(
  readFileSync(new URL('../../../../fixtures/tokenizer-parts/golden.json', import.meta.url), 'utf8'),
) as Golden

describe("what is put around texts, against Rust's tokenizers", () => {
  it.each(postProcessors)('$name', ({ tokenizer: tokenizerJson, encoded }) => {
    const tokenizer = createTokenizer({ tokenizerJson, tokenizerConfig: {} })
    for (const { text, pair, addSpecialTokens, ids, typeIds } of encoded) {
      if (pair === null) expect(tokenizer.encode(text, { addSpecialTokens })).toEqual(ids)
      else expect(tokenizer.encodePair(text, pair, { addSpecialTokens })).toEqual({ ids, typeIds })
    }
  })
})
