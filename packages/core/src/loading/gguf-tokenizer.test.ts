import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { TokenizerError } from '../errors.ts'
import { createTokenizer } from '../tokenizer/hf-tokenizer.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { openGguf } from './gguf.ts'
import { tokenizerFromGguf } from './gguf-tokenizer.ts'

interface TokenizerJson {
  readonly model: { readonly vocab: Record<string, number>; readonly merges: readonly (string | [string, string])[] }
  readonly added_tokens: readonly { readonly id: number; readonly content: string; readonly special: boolean }[]
}

interface Golden {
  readonly encode: readonly { readonly text: string; readonly ids: number[]; readonly ids_with_special: number[] }[]
  readonly decode: readonly { readonly ids: number[]; readonly text: string }[]
}

const fixtures = new URL('../../../../fixtures/', import.meta.url)
const readJson = <T>(path: string): T => JSON.parse(readFileSync(new URL(path, fixtures), 'utf8')) as T

/** A tokenizer.json as llama.cpp's converter writes it into a GGUF file. */
function toMetadata(
  { model, added_tokens: added }: TokenizerJson,
  kind: 'gpt2' | 'llama',
  rest: Record<string, unknown>,
): Record<string, unknown> {
  const tokens: string[] = []
  for (const [token, id] of Object.entries(model.vocab)) tokens[id] = token
  for (const { id, content } of added) tokens[id] = content
  const special = new Map(added.map(({ id, special: isSpecial }) => [id, isSpecial ? 3 : 4]))
  const merges = model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')))
  // SentencePiece scores are minus the rank at which a token was made.
  const rank = new Map(merges.map((merge, i) => [merge.replace(' ', ''), i]).reverse() as [string, number][])
  const scores = tokens.map((token) => -(rank.get(token) ?? 1e6))
  return {
    'tokenizer.ggml.model': kind,
    'tokenizer.ggml.tokens': tokens,
    'tokenizer.ggml.token_type': tokens.map((token, id) => special.get(id) ?? (/^<0x..>$/.test(token) ? 6 : 1)),
    ...(kind === 'gpt2' ? { 'tokenizer.ggml.merges': merges } : { 'tokenizer.ggml.scores': scores }),
    ...rest,
  }
}

function expectGolden(tokenizer: Tokenizer, golden: Golden): void {
  for (const { text, ids, ids_with_special } of golden.encode) {
    expect([text, tokenizer.encode(text, { addSpecialTokens: false })]).toEqual([text, ids])
    expect([text, tokenizer.encode(text)]).toEqual([text, ids_with_special])
  }
  for (const { ids, text } of golden.decode) expect([ids, tokenizer.decode(ids)]).toEqual([ids, text])
}

describe('tokenizerFromGguf', () => {
  it('gives the tokenizer of the checkpoint that the file was made from', () => {
    const { metadata, weights } = openGguf(fileURLToPath(new URL('gguf/llama-q8_0.gguf', fixtures)))
    weights.close()
    const { chatTemplate, ...files } = tokenizerFromGguf(metadata)
    const tokenizer = createTokenizer(files)
    expectGolden(tokenizer, readJson('tokenizers/bytelevel-llama3/golden.json'))
    expect(tokenizer).toMatchObject({ eosTokenId: 637, vocabSize: 640 })
    expect(chatTemplate).toContain('add_generation_prompt')
  })

  it.each([
    ['bytelevel-gpt2', 'gpt2', 'gpt-2', {}],
    ['bytelevel-qwen2', 'gpt2', 'qwen2', {}],
    ['bytelevel-o200k', 'gpt2', 'gpt-4o', {}],
    ['spm-bpe-llama2', 'llama', 'default', { 'tokenizer.ggml.bos_token_id': 1, 'tokenizer.ggml.unknown_token_id': 0 }],
    [
      'spm-bpe-gemma',
      'llama',
      'default',
      {
        'tokenizer.ggml.bos_token_id': 2,
        'tokenizer.ggml.unknown_token_id': 3,
        'tokenizer.ggml.add_space_prefix': false,
      },
    ],
  ] as const)('rebuilds %s', (kind, model, pre, rest) => {
    const json = readJson<TokenizerJson>(`tokenizers/${kind}/tokenizer.json`)
    const files = tokenizerFromGguf(toMetadata(json, model, { 'tokenizer.ggml.pre': pre, ...rest }))
    expectGolden(createTokenizer(files), readJson(`tokenizers/${kind}/golden.json`))
  })

  it('joins pieces of equal score leftmost first, as llama.cpp does', () => {
    const files = tokenizerFromGguf({
      'tokenizer.ggml.model': 'llama',
      'tokenizer.ggml.tokens': ['<unk>', 'c', 'b', 'a', 'bc', 'ab', 'cb'],
      'tokenizer.ggml.scores': [0, -9, -9, -9, -1, -1, -1],
      'tokenizer.ggml.add_space_prefix': false,
      'tokenizer.ggml.add_bos_token': false,
    })
    const tokenizer = createTokenizer({ ...files, chatTemplate: null })
    expect(tokenizer.encode('abc')).toEqual([5, 1])
    expect(tokenizer.encode('bcb')).toEqual([4, 2])
    expect(tokenizer.encode('cbc')).toEqual([6, 1])
  })

  const base = { 'tokenizer.ggml.model': 'gpt2', 'tokenizer.ggml.tokens': ['a', 'b'], 'tokenizer.ggml.merges': [] }
  it.each<[string, Record<string, unknown>]>([
    ['tokenizer.ggml.model', { ...base, 'tokenizer.ggml.model': 't5' }],
    ['tokenizer.ggml.tokens', { ...base, 'tokenizer.ggml.tokens': [1, 2] }],
    ['tokenizer.ggml.merges', { ...base, 'tokenizer.ggml.merges': undefined }],
    ['tokenizer.ggml.pre', { ...base, 'tokenizer.ggml.pre': 'klingon' }],
    ['tokenizer.ggml.token_type', { ...base, 'tokenizer.ggml.token_type': [1] }],
    ['tokenizer.ggml.scores', { ...base, 'tokenizer.ggml.model': 'llama' }],
  ])('names a bad %s', (key, metadata) => {
    expect(() => tokenizerFromGguf(metadata)).toThrow(TokenizerError)
    expect(() => tokenizerFromGguf(metadata)).toThrow(key)
  })
})
