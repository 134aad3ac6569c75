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
export {
  batchEndpoints,
  batchLineSchema,
  batchListSchema,
  batchRequestSchema,
  batchResultSchema,
  batchSchema,
} from './batches/batch.ts'
export type {
  Batch,
  BatchEndpoint,
  BatchLine,
  BatchList,
  BatchRequest,
  BatchResult,
  BatchStatus,
} from './batches/batch.ts'
export {
  batchQuerySchema,
  fileDeletedSchema,
  fileListSchema,
  fileObjectSchema,
  fileQuerySchema,
  uploadFieldsSchema,
  uploadSchema,
} from './batches/file-object.ts'
export type {
  BatchQuery,
  ExpiresAfter,
  FileDeleted,
  FileList,
  FileObject,
  FileQuery,
  UploadFields,
} from './batches/file-object.ts'
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
export { chatFieldName, completionFieldName, responsesFieldName } from './field-names.ts'
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
export { resetPrefixCacheQuerySchema, sleepQuerySchema, sleepStateSchema, wakeUpQuerySchema } from './admin/sleep.ts'
export type { SleepState } from './admin/sleep.ts'
export { serverLoadSchema } from './admin/server-load.ts'
export type { ServerLoad } from './admin/server-load.ts'
export { classificationListSchema, classificationRequestSchema } from './pooling/classification.ts'
export type { Classification, ClassificationList, ClassificationRequest } from './pooling/classification.ts'
export { embeddingListSchema, embeddingRequestSchema } from './pooling/embeddings.ts'
export type { Embedding, EmbeddingList, EmbeddingRequest } from './pooling/embeddings.ts'
export { poolingFieldName, rerankFieldName, scoreFieldName } from './pooling/pooling-field-names.ts'
export type { PoolingInput, PoolingOptions } from './pooling/pooling-options.ts'
export { pooledListSchema, poolingRequestSchema } from './pooling/pooling.ts'
export type { Pooled, PooledList, WirePoolingRequest } from './pooling/pooling.ts'
export { rerankingSchema, rerankRequestSchema } from './pooling/rerank.ts'
export type { Reranking, RerankRequest, RerankResult } from './pooling/rerank.ts'
export { scoreListSchema, scoreRequestSchema, scoreSidesOf } from './pooling/score.ts'
export type { Score, ScoreList, ScoreRequest } from './pooling/score.ts'
export type { VectorEncoding } from './pooling/vector-encoding.ts'
export { detokenizedSchema, detokenizeRequestSchema } from './tokens/detokenize.ts'
export type { Detokenized, DetokenizeRequest } from './tokens/detokenize.ts'
export { renderedRequestListSchema, renderedRequestSchema } from './tokens/rendered-request.ts'
export type { RenderedSamplingParams, WireRenderedRequest } from './tokens/rendered-request.ts'
export { textSchema } from './text-schema.ts'
export { tokenizedSchema, tokenizeRequestSchema } from './tokens/tokenize.ts'
export type { Tokenized, TokenizeRequest } from './tokens/tokenize.ts'
export { tokenizerInfoSchema } from './tokens/tokenizer-info.ts'
export type { TokenizerInfo } from './tokens/tokenizer-info.ts'
export { inputItemSchema, responseInputSchema } from './responses/input-item.ts'
export type { InputItem } from './responses/input-item.ts'
export { responseEventSchema } from './responses/response-event.ts'
export type { ResponseEvent } from './responses/response-event.ts'
export { outputItemSchema, responseItemListSchema, responseItemSchema } from './responses/response-item.ts'
export type {
  FunctionCallItem,
  MessageItem,
  OutputItem,
  OutputLogprob,
  ReasoningItem,
  ResponseItem,
  ResponseItemList,
} from './responses/response-item.ts'
export { deletedResponseSchema, responseObjectSchema } from './responses/response-object.ts'
export type { DeletedResponse, ResponseObject, ResponseUsage } from './responses/response-object.ts'
export { inputItemsQuerySchema, responseQuerySchema } from './responses/response-queries.ts'
export { responseRequestSchema } from './responses/response-request.ts'
export type { Includable, ResponseRequest } from './responses/response-request.ts'
export type { ResponseTool, ResponseToolChoice } from './responses/response-tool.ts'
export type { TextConfig } from './responses/text-config.ts'
