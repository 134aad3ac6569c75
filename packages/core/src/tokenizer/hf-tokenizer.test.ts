import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { Detokenizer } from './detokenizer.ts'
import { createTokenizer } from './hf-tokenizer.ts'
import type { Tokenizer } from './tokenizer.ts'

interface TokenizerGolden {
  readonly encode: readonly { text: string; ids: number[]; ids_with_special: number[] }[]
  readonly encode_pair?: readonly { text: string; pair: string; ids: number[]; type_ids: number[] }[]
  readonly decode: readonly { ids: number[]; text: string; text_skip_special: string }[]
  readonly incremental: readonly { ids: number[]; skip_special_tokens: boolean; deltas: string[]; flush: string }[]
  readonly continuation: readonly {
    prompt_ids: number[]
    ids: number[]
    skip_special_tokens: boolean
    deltas: string[]
    flush: string
  }[]
}

const fixtures = new URL('../../../../fixtures/', import.meta.url)
const kinds = readdirSync(new URL('tokenizers/', fixtures))

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(new URL(path, fixtures), 'utf8')) as T
}

function loadKind(kind: string): Tokenizer {
  return createTokenizer({
    tokenizerJson: readJson(`tokenizers/${kind}/tokenizer.json`),
    tokenizerConfig: {},
  })
}

describe.each(kinds)('tokenizer %s', (kind) => {
  const tokenizer = loadKind(kind)
  const golden = readJson<TokenizerGolden>(`tokenizers/${kind}/golden.json`)

  it('encodes', () => {
    for (const { text, ids, ids_with_special } of golden.encode) {
      expect([text, tokenizer.encode(text, { addSpecialTokens: false })]).toEqual([text, ids])
      expect([text, tokenizer.encode(text)]).toEqual([text, ids_with_special])
    }
  })

  it('encodes pairs', () => {
    for (const { text, pair, ids, type_ids } of golden.encode_pair ?? []) {
      expect(tokenizer.encodePair(text, pair)).toEqual({ ids, typeIds: type_ids })
    }
  })

  it('decodes', () => {
    for (const { ids, text, text_skip_special } of golden.decode) {
      expect([ids, tokenizer.decode(ids)]).toEqual([ids, text])
      expect([ids, tokenizer.decode(ids, { skipSpecialTokens: true })]).toEqual([ids, text_skip_special])
    }
  })

  it('decodes token by token', () => {
    for (const { ids, skip_special_tokens: skipSpecialTokens, deltas, flush } of golden.incremental) {
      const detokenizer = new Detokenizer(tokenizer, { skipSpecialTokens })
      expect([ids, ids.map((id) => detokenizer.push(id)), detokenizer.flush()]).toEqual([ids, deltas, flush])
    }
  })

  it('decodes the continuation of a prompt', () => {
    for (const {
      prompt_ids: promptTokenIds,
      ids,
      skip_special_tokens: skipSpecialTokens,
      deltas,
      flush,
    } of golden.continuation) {
      const detokenizer = new Detokenizer(tokenizer, { skipSpecialTokens, promptTokenIds })
      expect([ids, ids.map((id) => detokenizer.push(id)), detokenizer.flush()]).toEqual([ids, deltas, flush])
    }
  })
})
