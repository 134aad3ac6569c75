import { z } from 'zod'

const statusSchema = z.enum(['in_progress', 'completed', 'incomplete'])

/** A token of `output_text`, if asked for. */
export const outputLogprobSchema = z.looseObject({
  token: z.string(),
  logprob: z.number(),
  bytes: z.array(z.number()),
  top_logprobs: z.array(z.looseObject({ token: z.string(), logprob: z.number(), bytes: z.array(z.number()) })),
})

export const outputTextSchema = z.looseObject({
  type: z.literal('output_text'),
  text: z.string(),
  annotations: z.array(z.unknown()),
  logprobs: z.array(outputLogprobSchema),
})

export const inputTextSchema = z.looseObject({ type: z.literal('input_text'), text: z.string() })
export const reasoningTextSchema = z.looseObject({ type: z.literal('reasoning_text'), text: z.string() })
export const summaryTextSchema = z.looseObject({ type: z.literal('summary_text'), text: z.string() })

export const messageItemSchema = z.looseObject({
  type: z.literal('message'),
  id: z.string(),
  status: statusSchema,
  role: z.enum(['user', 'assistant', 'system', 'developer']),
  content: z.array(z.discriminatedUnion('type', [outputTextSchema, inputTextSchema])),
})

export const reasoningItemSchema = z.looseObject({
  type: z.literal('reasoning'),
  id: z.string(),
  status: statusSchema,
  summary: z.array(summaryTextSchema),
  content: z.array(reasoningTextSchema),
  /** With `include: ["reasoning.encrypted_content"]`. */
  encrypted_content: z.string().optional(),
})

export const functionCallItemSchema = z.looseObject({
  type: z.literal('function_call'),
  id: z.string(),
  status: statusSchema,
  call_id: z.string(),
  name: z.string(),
  /** JSON text. */
  arguments: z.string(),
})

export const functionCallOutputItemSchema = z.looseObject({
  type: z.literal('function_call_output'),
  id: z.string(),
  status: statusSchema,
  call_id: z.string(),
  output: z.union([z.string(), z.array(inputTextSchema)]),
})

/** What the model wrote. */
export const outputItemSchema = z.discriminatedUnion('type', [
  reasoningItemSchema,
  messageItemSchema,
  functionCallItemSchema,
])

/** What a conversation consists of. */
export const responseItemSchema = z.discriminatedUnion('type', [
  reasoningItemSchema,
  messageItemSchema,
  functionCallItemSchema,
  functionCallOutputItemSchema,
])

/** Answer of GET /v1/responses/ID/input_items. */
export const responseItemListSchema = z.looseObject({
  object: z.literal('list'),
  data: z.array(responseItemSchema),
  first_id: z.string().nullable(),
  last_id: z.string().nullable(),
  has_more: z.boolean(),
})

export type OutputLogprob = z.infer<typeof outputLogprobSchema>
export type OutputItem = z.infer<typeof outputItemSchema>
export type ReasoningItem = z.infer<typeof reasoningItemSchema>
export type MessageItem = z.infer<typeof messageItemSchema>
export type FunctionCallItem = z.infer<typeof functionCallItemSchema>
export type ResponseItem = z.infer<typeof responseItemSchema>
export type ResponseItemList = z.infer<typeof responseItemListSchema>
