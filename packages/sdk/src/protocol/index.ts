/** The wire: zod schemas and the types inferred from them. Requests drop unknown fields, answers keep them. */
export { messagesFieldName } from './anthropic/field-names.ts'
export {
  messageErrorBodySchema,
  messageEventSchema,
  messageSchema,
  messageStopReasonSchema,
  tokenCountSchema,
} from './anthropic/message.ts'
export type {
  AnswerBlock,
  Message,
  MessageErrorBody,
  MessageEvent,
  MessageStopReason,
  MessageUsage,
  TokenCount,
} from './anthropic/message.ts'
export type { MessageBlockParam, MessageParam, SystemPrompt, ToolResultBlockParam } from './anthropic/message-block.ts'
export type { MessageTool, MessageToolChoice } from './anthropic/message-tool.ts'
export { countTokensRequestSchema, messagesRequestSchema } from './anthropic/messages-request.ts'
export type { CountTokensRequest, MessagesRequest } from './anthropic/messages-request.ts'
export { chatCompletionChunkSchema } from './chat-completion-chunk.ts'
export type { ChatCompletionChunk, ChatCompletionChunkChoice } from './chat-completion-chunk.ts'
export { chatCompletionRequestSchema } from './chat-completion-request.ts'
export type { ChatCompletionRequest } from './chat-completion-request.ts'
export { chatCompletionSchema } from './chat-completion.ts'
export type { ChatCompletion, ChatCompletionChoice } from './chat-completion.ts'
export { chatMessageSchema, toolCallSchema } from './chat-message.ts'
export type { WireChatMessage, WireToolCall } from './chat-message.ts'
export { completionRequestSchema, promptSchema } from './completion-request.ts'
export type { CompletionRequest, Prompt } from './completion-request.ts'
export { completionChunkSchema, completionSchema } from './completion.ts'
export type { Completion, CompletionChoice, CompletionChunk } from './completion.ts'
export { errorBodySchema } from './error-body.ts'
export type { ErrorBody } from './error-body.ts'
export { chatFieldName, completionFieldName } from './field-names.ts'
export { wireFinishReasonSchema } from './finish-reason.ts'
export type { WireFinishReason } from './finish-reason.ts'
export type { GenerationOptions } from './generation-options.ts'
export { chatLogprobsSchema, completionLogprobsSchema, promptLogprobsSchema } from './logprobs.ts'
export type { ChatLogprobs, ChatTokenLogprob, CompletionLogprobs, WirePromptLogprobs } from './logprobs.ts'
export { jsonObjectSchema } from './json-object.ts'
export { jsonSchemaOf } from './json-schema-of.ts'
export type { WireSchema } from './json-schema-of.ts'
export { modelCardSchema, modelListSchema } from './model-card.ts'
export type { ModelCard, ModelList } from './model-card.ts'
export { responseFormatSchema } from './response-format.ts'
export type { ResponseFormat } from './response-format.ts'
export { structuredOutputsSchema } from './structured-outputs.ts'
export type { StructuredOutputs } from './structured-outputs.ts'
export { serverVersionSchema } from './server-version.ts'
export type { ServerVersion } from './server-version.ts'
export { toolChoiceSchema, toolSchema } from './tool.ts'
export type { WireTool, WireToolChoice } from './tool.ts'
export { toolCallDeltaSchema } from './tool-call-delta.ts'
export type { WireToolCallDelta } from './tool-call-delta.ts'
export { usageSchema } from './usage.ts'
export type { Usage } from './usage.ts'
