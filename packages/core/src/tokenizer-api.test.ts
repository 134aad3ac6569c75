import { describe, expect, expectTypeOf, it } from 'vitest'
import { embeddedModelPath, openCheckpoint } from './loading-api.ts'
import {
  type ChatTemplate,
  createChatTemplate,
  createTokenizer,
  type DecodeStream,
  Detokenizer,
  type TemplateTokens,
  type Tokenizer,
  type TokenizerFiles,
} from './tokenizer-api.ts'

describe('@octavo/core/tokenizer', () => {
  it('has the types of tokenizers and templates', () => {
    expectTypeOf(createTokenizer).toEqualTypeOf<(files: TokenizerFiles) => Tokenizer>()
    expectTypeOf<Tokenizer['createDecodeStream']>().returns.toEqualTypeOf<DecodeStream>()
    expectTypeOf<Tokenizer>().toExtend<TemplateTokens>()
    expectTypeOf(createChatTemplate).toEqualTypeOf<(source: string, tokens: TemplateTokens) => ChatTemplate>()
    expectTypeOf(Detokenizer).constructorParameters.toExtend<[Tokenizer, object]>()
  })

  it('goes from messages to ids and back without an engine', async () => {
    const tokenizer = createTokenizer((await openCheckpoint(embeddedModelPath('octavo-tiny'))).readTokenizer())
    const template = createChatTemplate(tokenizer.chatTemplate!, tokenizer)
    const text = template.render({ messages: [{ role: 'user', content: 'What?' }], addGenerationPrompt: true })
    const ids = tokenizer.encode(text, { addSpecialTokens: false })
    expect(ids.length).toBeGreaterThan(3)
    expect(tokenizer.decode(ids)).toBe(text)
  })
})
