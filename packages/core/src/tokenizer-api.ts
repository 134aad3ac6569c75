/** Text and token ids, without an engine: `@octavo/core/tokenizer`. */
export { createChatTemplate } from './tokenizer/chat-template.ts'
export type { ChatTemplate, ChatTemplateInput, TemplateTokens } from './tokenizer/chat-template.ts'
export type { ChatMessage, TextPart, ToolCall, ToolDefinition } from './tokenizer/chat-message.ts'
export { RawJson } from './tokenizer/raw-json.ts'
export { Detokenizer } from './tokenizer/detokenizer.ts'
export type { DetokenizerOptions } from './tokenizer/detokenizer.ts'
export { createTokenizer } from './tokenizer/hf-tokenizer.ts'
export type { TokenizerFiles } from './tokenizer/hf-tokenizer.ts'
export type {
  DecodeOptions,
  DecodeStream,
  DecodeStreamOptions,
  EncodeOptions,
  Tokenizer,
} from './tokenizer/tokenizer.ts'
export { ChatTemplateError, TokenizerError } from './errors.ts'
