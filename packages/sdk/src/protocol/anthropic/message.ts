import { z } from 'zod'

export const answerBlockSchema = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('text'), text: z.string(), citations: z.array(z.unknown()).nullish() }),
  z.looseObject({ type: z.literal('thinking'), thinking: z.string(), signature: z.string() }),
  z.looseObject({ type: z.literal('tool_use'), id: z.string(), name: z.string(), input: z.unknown() }),
])

export const messageStopReasonSchema = z.enum([
  'end_turn',
  'max_tokens',
  'stop_sequence',
  'tool_use',
  'model_context_window_exceeded',
])

/** The prompt's tokens are the sum of the three of input; the cache's are counted apart. */
export const messageUsageSchema = z.looseObject({
  input_tokens: z.number(),
  output_tokens: z.number(),
  cache_read_input_tokens: z.number().nullish(),
  cache_creation_input_tokens: z.number().nullish(),
})

/** Answer of POST /v1/messages without `stream`. */
export const messageSchema = z.looseObject({
  id: z.string(),
  type: z.literal('message'),
  role: z.literal('assistant'),
  model: z.string(),
  content: z.array(answerBlockSchema),
  stop_reason: messageStopReasonSchema.nullable(),
  /** The one that ended it. */
  stop_sequence: z.string().nullable(),
  usage: messageUsageSchema,
})

const blockDeltaSchema = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('text_delta'), text: z.string() }),
  z.looseObject({ type: z.literal('thinking_delta'), thinking: z.string() }),
  z.looseObject({ type: z.literal('signature_delta'), signature: z.string() }),
  z.looseObject({ type: z.literal('input_json_delta'), partial_json: z.string() }),
])

/** One event of a streamed message; its type is the name of the event too. */
export const messageEventSchema = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('message_start'), message: messageSchema }),
  z.looseObject({ type: z.literal('content_block_start'), index: z.number(), content_block: answerBlockSchema }),
  z.looseObject({ type: z.literal('content_block_delta'), index: z.number(), delta: blockDeltaSchema }),
  z.looseObject({ type: z.literal('content_block_stop'), index: z.number() }),
  z.looseObject({
    type: z.literal('message_delta'),
    delta: z.looseObject({ stop_reason: messageStopReasonSchema.nullable(), stop_sequence: z.string().nullable() }),
    usage: messageUsageSchema,
  }),
  z.looseObject({ type: z.literal('message_stop') }),
  z.looseObject({ type: z.literal('ping') }),
])

/** Answer of POST /v1/messages/count_tokens. */
export const tokenCountSchema = z.looseObject({ input_tokens: z.number() })

/** Every error under /v1/messages; in a stream, the event `error`. */
export const messageErrorBodySchema = z.looseObject({
  type: z.literal('error'),
  error: z.looseObject({ type: z.string(), message: z.string() }),
  request_id: z.string().nullish(),
})

export type AnswerBlock = z.infer<typeof answerBlockSchema>
export type MessageStopReason = z.infer<typeof messageStopReasonSchema>
export type MessageUsage = z.infer<typeof messageUsageSchema>
export type Message = z.infer<typeof messageSchema>
export type MessageEvent = z.infer<typeof messageEventSchema>
export type TokenCount = z.infer<typeof tokenCountSchema>
export type MessageErrorBody = z.infer<typeof messageErrorBodySchema>
