import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, writeFileSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { parseModelConfig } from '../config/model-config.ts'
import { CheckpointError } from '../errors.ts'
import { openCheckpoint } from './checkpoint.ts'
import { embeddedModelPath } from './embedded-model.ts'

const fixtures = fileURLToPath(new URL('../../../../fixtures/', import.meta.url))

const root = mkdtempSync(join(tmpdir(), 'octavo-checkpoint-'))
afterAll(() => rmSync(root, { recursive: true }))

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(root, 'case-'))
})

function put(name: string, content: unknown): void {
  writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content))
}

function putMinimal(): void {
  put('config.json', { model_type: 'llama' })
  put('tokenizer.json', { model: {} })
}

async function readAll(path: string): Promise<void> {
  const checkpoint = await openCheckpoint(path)
  checkpoint.readTokenizer()
}

describe('openCheckpoint', () => {
  it('reads a folder', async () => {
    const checkpoint = await openCheckpoint(join(fixtures, 'models/qwen3'))
    expect(checkpoint.config['model_type']).toBe('qwen3')
    expect(checkpoint.generationConfig?.['eos_token_id']).toBe(632)
    expect(checkpoint.readTokenizer().tokenizerJson['model']).toBeTypeOf('object')
    expect(checkpoint.readTokenizer().chatTemplate).toMatch(/im_start/)
    const weights = checkpoint.openWeights()
    expect(weights.names()).toContain('model.embed_tokens.weight')
    weights.close()
  })

  it('reads the embedded model', async () => {
    const checkpoint = await openCheckpoint(embeddedModelPath('octavo-tiny'))
    expect(checkpoint.readTokenizer().chatTemplate).not.toBeNull()
    const weights = checkpoint.openWeights()
    for (const name of weights.names()) expect(weights.get(name)).not.toBeNull()
    weights.close()
  })

  it('reads a .gguf file, and a folder that holds just one', async () => {
    const path = join(fixtures, 'gguf/llama-q8_0.gguf')
    cpSync(path, join(folder, 'model.gguf'))
    for (const place of [path, folder]) {
      const checkpoint = await openCheckpoint(place)
      const config = parseModelConfig(checkpoint.config, place)
      expect(config).toMatchObject({
        architecture: 'LlamaForCausalLM',
        numLayers: 3,
        vocabSize: 640,
        eosTokenIds: [637],
      })
      expect(checkpoint.generationConfig).toEqual({ bos_token_id: 632, eos_token_id: [637], pad_token_id: 639 })
      expect(checkpoint.readTokenizer().chatTemplate).toMatch(/start_header_id/)
      expect(checkpoint.readTokenizer().tokenizerJson['model']).toBeTypeOf('object')
      const weights = checkpoint.openWeights()
      expect(weights.get('lm_head.weight')?.format).toBe('q8_0')
      weights.close()
    }
    cpSync(path, join(folder, 'other.gguf'))
    await expect(openCheckpoint(folder)).rejects.toThrow(
      /no config.json; it has 2 .gguf files \(model.gguf, other.gguf\)/,
    )
  })

  it('takes the parts of a split file in a folder for one model', async () => {
    for (const part of ['m-00002-of-00002.gguf', 'm-00001-of-00002.gguf']) put(part, 'GGUF')
    await expect(openCheckpoint(folder)).rejects.toThrow(/m-00001-of-00002.gguf/)
    await expect(openCheckpoint(join(folder, 'm-00002-of-00002.gguf'))).rejects.toThrow(/m-00001-of-00002.gguf/)
  })

  it('says of a pointer of Git LFS what it is', async () => {
    const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n'
    putMinimal()
    put('model.safetensors', pointer)
    const checkpoint = await openCheckpoint(folder)
    expect(() => checkpoint.openWeights()).toThrow(/model.safetensors: is a Git LFS pointer.*git lfs pull/)
    put('config.json', pointer)
    await expect(openCheckpoint(folder)).rejects.toThrow(/config.json: is a Git LFS pointer/)
  })

  it.skipIf(process.platform === 'win32')('refuses a named pipe instead of waiting for its writer', async () => {
    putMinimal()
    execFileSync('mkfifo', [join(folder, 'model.safetensors')])
    const checkpoint = await openCheckpoint(folder)
    expect(() => checkpoint.openWeights()).toThrow(/model.safetensors: is not a regular file/)
  })

  it('prefers chat_template.jinja to every other place', async () => {
    putMinimal()
    put('tokenizer_config.json', { chat_template: 'from config' })
    expect((await openCheckpoint(folder)).readTokenizer().chatTemplate).toBe('from config')
    put('chat_template.json', { chat_template: 'from json' })
    expect((await openCheckpoint(folder)).readTokenizer().chatTemplate).toBe('from json')
    put('chat_template.jinja', 'from jinja')
    expect((await openCheckpoint(folder)).readTokenizer().chatTemplate).toBe('from jinja')
  })

  it.each<[unknown, string | null]>([
    [undefined, null],
    [null, null],
    [[], null],
    [[{ name: 'only', template: 'a' }], 'a'],
    [
      [
        { name: 'tool_use', template: 'a' },
        { name: 'default', template: 'b' },
      ],
      'b',
    ],
    [
      [
        { name: 'tool_use', template: 'a' },
        { name: 'rag', template: 'b' },
      ],
      null,
    ],
  ])('takes the default of %j', async (chatTemplate, expected) => {
    putMinimal()
    put('tokenizer_config.json', { chat_template: chatTemplate })
    expect((await openCheckpoint(folder)).readTokenizer().chatTemplate).toBe(expected)
  })

  it('keeps the templates of other names', async () => {
    putMinimal()
    const list = [
      { name: 'default', template: 'd' },
      { name: 'tool_use', template: 't' },
    ]
    put('tokenizer_config.json', { chat_template: list })
    const named = async () => (await openCheckpoint(folder)).readTokenizer().namedTemplates.get('tool_use')
    expect(await named()).toBe('t')
    mkdirSync(join(folder, 'additional_chat_templates'))
    put('additional_chat_templates/tool_use.jinja', 'from file')
    expect(await named()).toBe('from file')
  })

  it('fills special tokens from the older special_tokens_map.json', async () => {
    putMinimal()
    put('tokenizer_config.json', { eos_token: '</s>' })
    put('special_tokens_map.json', { eos_token: 'no', bos_token: '<s>', chat_template: 'no' })
    expect((await openCheckpoint(folder)).readTokenizer().tokenizerConfig).toEqual({
      eos_token: '</s>',
      bos_token: '<s>',
    })
  })

  it.each<[what: string, name: string, content: unknown, message: RegExp]>([
    ['a config.json that is no JSON', 'config.json', '{"a":', /config.json: is not valid JSON/],
    ['a config.json that is a list', 'config.json', [], /config.json: must hold a JSON object/],
    [
      'a config.json beyond the limit',
      'config.json',
      ' '.repeat(9 * 1024 * 1024),
      /config.json: has 9437184 bytes; the limit/,
    ],
    ['a tokenizer.json that is no JSON', 'tokenizer.json', 'x', /tokenizer.json: is not valid JSON/],
    ['a template list of strings', 'tokenizer_config.json', { chat_template: ['a'] }, /entry of "chat_template"/],
    ['a template that is a number', 'tokenizer_config.json', { chat_template: 5 }, /"chat_template" must be/],
    [
      'a template beyond the limit',
      'chat_template.jinja',
      'x'.repeat(1024 * 1024 + 1),
      /chat_template.jinja: has 1048577 bytes/,
    ],
    ['a generation_config.json that is null', 'generation_config.json', 'null', /generation_config.json: must hold/],
  ])('refuses %s', async (_, name, content, message) => {
    putMinimal()
    put(name, content)
    await expect(readAll(folder)).rejects.toThrow(CheckpointError)
    await expect(readAll(folder)).rejects.toThrow(message)
  })

  it('names what is missing', async () => {
    await expect(openCheckpoint(join(folder, 'none'))).rejects.toThrow(/none: does not exist/)
    await expect(openCheckpoint(folder)).rejects.toThrow(/has no config.json/)
    put('config.json', {})
    await expect(readAll(folder)).rejects.toThrow(/has no tokenizer.json.*save_pretrained/)
    put('tokenizer.json', {})
    const checkpoint = await openCheckpoint(folder)
    expect(() => checkpoint.openWeights()).toThrow(/has no .safetensors file/)
  })
})
