/** The text side of every golden checkpoint: encoding, chat rendering, decoding of what the model wrote. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { resolveEngineConfig } from '../config/engine-config.ts'
import { InvalidConfigError } from '../errors.ts'
import type { ChatMessage } from '../tokenizer/chat-message.ts'
import { Detokenizer } from '../tokenizer/detokenizer.ts'
import { listGoldenFolders } from '../models/golden-models.case.ts'
import { loadFrontModel } from './front-model.ts'

interface Golden {
  readonly prompts: readonly {
    readonly ids: number[]
    readonly text: string
    readonly greedy_ids: number[]
    readonly greedy_text: string
    readonly greedy_text_after_prompt: string
  }[]
  readonly encode: readonly { readonly text: string; readonly ids: number[] }[]
  readonly chat?: readonly {
    readonly messages: ChatMessage[]
    readonly add_generation_prompt: boolean
    readonly rendered: string
    readonly ids: number[]
  }[]
}

/** Of embedders and classifiers. */
interface PoolingGolden {
  readonly inputs: readonly Encoded[]
  readonly pairs?: readonly Encoded[]
}

interface Encoded {
  readonly text: string
  readonly pair?: string
  readonly ids: number[]
  readonly type_ids?: number[]
}

const fixtures = new URL('../../../../fixtures/', import.meta.url)
const models = new URL('models/', fixtures)

function detokenize(
  tokenizer: ConstructorParameters<typeof Detokenizer>[0],
  ids: readonly number[],
  promptTokenIds: readonly number[] = [],
): string {
  const detokenizer = new Detokenizer(tokenizer, { skipSpecialTokens: true, promptTokenIds })
  return ids.map((id) => detokenizer.push(id)).join('') + detokenizer.flush()
}

describe.each(listGoldenFolders(fileURLToPath(fixtures)))('the text of %s', (name) => {
  const folder = fileURLToPath(new URL(name, models))
  const golden = JSON.parse(readFileSync(`${folder}/golden.json`, 'utf8')) as Golden
  const front = loadFrontModel(resolveEngineConfig({ model: folder }), folder)

  it('is encoded', async () => {
    const { tokenizer } = await front
    for (const { text, ids } of golden.encode) expect(tokenizer.encode(text)).toEqual(ids)
  })

  it('is rendered from chats', async () => {
    const { tokenizer, chatTemplates } = await front
    expect(chatTemplates.isEmpty).toBe(golden.chat === undefined)
    for (const { messages, add_generation_prompt: addGenerationPrompt, rendered, ids } of golden.chat ?? []) {
      const text = chatTemplates.select(null, false).render({ messages, addGenerationPrompt })
      expect(text).toBe(rendered)
      expect(tokenizer.encode(rendered, { addSpecialTokens: false })).toEqual(ids)
    }
  })

  it('is decoded, at once and token by token', async () => {
    const { tokenizer } = await front
    for (const { ids, text, greedy_ids, greedy_text, greedy_text_after_prompt } of golden.prompts) {
      expect(tokenizer.decode(ids)).toBe(text)
      expect(tokenizer.decode(greedy_ids, { skipSpecialTokens: true })).toBe(greedy_text)
      expect(detokenize(tokenizer, greedy_ids)).toBe(greedy_text)
      expect(detokenize(tokenizer, greedy_ids, ids)).toBe(greedy_text_after_prompt)
    }
  })
})

describe.each(listGoldenFolders(fileURLToPath(fixtures), ['embed', 'classify']))('the text of %s', (name) => {
  it('is encoded, alone and in pairs', async () => {
    const folder = fileURLToPath(new URL(name, models))
    const { inputs, pairs = [] } = JSON.parse(readFileSync(`${folder}/golden.json`, 'utf8')) as PoolingGolden
    const { tokenizer } = await loadFrontModel(resolveEngineConfig({ model: folder }), folder)
    for (const { text, pair, ids, type_ids: typeIds } of [...inputs, ...pairs]) {
      if (pair === undefined) expect(tokenizer.encode(text)).toEqual(ids)
      else expect(tokenizer.encodePair(text, pair)).toMatchObject({ ids, ...(typeIds && { typeIds }) })
    }
  })
})

describe("a tokenizer of one's own", () => {
  const folder = fileURLToPath(new URL('llama', models))
  const config = resolveEngineConfig({ model: folder })

  it("stands in for the checkpoint's", async () => {
    const { tokenizer: stock } = await loadFrontModel(config, folder)
    const { tokenizer } = await loadFrontModel(config, folder, { createTokenizer: async () => stock })
    expect(tokenizer).toBe(stock)
  })

  it('must be one', async () => {
    const loaded = loadFrontModel(config, folder, { createTokenizer: () => ({ encode: () => [] }) as never })
    await expect(loaded).rejects.toThrow(InvalidConfigError)
    await expect(loaded).rejects.toThrow(/createTokenizer: must return a Tokenizer .*createDecodeStream/)
  })
})
