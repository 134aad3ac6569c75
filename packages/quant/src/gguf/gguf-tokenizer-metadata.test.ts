import { readFileSync } from 'node:fs'
import { TokenizerError } from '@octavo/core'
import { describe, expect, it } from 'vitest'
import { tokenizerMetadata } from './gguf-tokenizer-metadata.ts'

function metadataOf(folder: string, vocabSize = 100_000): ReturnType<typeof tokenizerMetadata> {
  const file = new URL(`../../../../fixtures/tokenizers/${folder}/tokenizer.json`, import.meta.url)
  const tokenizerJson = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
  return tokenizerMetadata({
    tokenizerJson,
    tokenizerConfig: { bos_token: '<s>', eos_token: { content: '</s>' } },
    chatTemplate: 'plain',
    namedTemplates: new Map([['tool_use', 'with tools']]),
    vocabSize,
    eosTokenIds: [2, 5],
    file: folder,
  })
}

describe('tokenizerMetadata', () => {
  it.each([
    ['bytelevel-gpt2', 'gpt2', 'default'],
    ['bytelevel-llama3', 'gpt2', 'llama-bpe'],
    ['bytelevel-o200k', 'gpt2', 'gpt-4o'],
    ['bytelevel-qwen2', 'gpt2', 'qwen2'],
    ['spm-bpe-llama2', 'llama', 'default'],
    ['spm-bpe-gemma', 'llama', 'default'],
    ['spm-bpe-metaspace', 'llama', 'default'],
  ])('names the kind of %s: %s, %s', (folder, model, pre) => {
    const entries = metadataOf(folder)
    expect(entries.get('tokenizer.ggml.model')).toEqual({ type: 'string', value: model })
    expect(entries.get('tokenizer.ggml.pre')).toEqual({ type: 'string', value: pre })
    expect(entries.has(model === 'llama' ? 'tokenizer.ggml.scores' : 'tokenizer.ggml.merges')).toBe(true)
  })

  it('keeps templates, ends of turns, and what is put around a text', () => {
    const entries = metadataOf('spm-bpe-llama2')
    expect(Object.fromEntries(entries)).toMatchObject({
      'tokenizer.chat_template': { value: 'plain' },
      'tokenizer.chat_template.tool_use': { value: 'with tools' },
      'tokenizer.chat_templates': { values: ['tool_use'] },
      'tokenizer.ggml.bos_token_id': { value: 1 },
      'tokenizer.ggml.eos_token_id': { value: 2 },
      'tokenizer.ggml.eot_token_id': { value: 5 },
      'tokenizer.ggml.add_bos_token': { value: true },
      'tokenizer.ggml.add_eos_token': { value: false },
      'tokenizer.ggml.add_space_prefix': { value: true },
    })
    const tokens = entries.get('tokenizer.ggml.tokens')
    expect(tokens?.type === 'array' && tokens.values.length).toBe(100_000)
    expect(tokens?.type === 'array' && tokens.values[99_999]).toBe('[PAD99999]')
  })

  it.each([
    ['bytelevel-deepseek', /llama\.cpp has no name that Octavo knows for this tokenizer's way to split text/],
    ['unigram', /a tokenizer of the kind "Unigram" can't be written to GGUF/],
    ['wordpiece', /of the kind "WordPiece"/],
  ])('refuses %s', (folder, message) => {
    expect(() => metadataOf(folder)).toThrow(TokenizerError)
    expect(() => metadataOf(folder)).toThrow(message)
  })

  it('refuses more tokens than the embedding has rows', () => {
    expect(() => metadataOf('bytelevel-gpt2', 100)).toThrow('but the embedding has 100 rows')
  })
})
