import { z } from 'zod'
import {
  outputItemSchema,
  outputLogprobSchema,
  outputTextSchema,
  reasoningTextSchema,
  summaryTextSchema,
} from './response-item.ts'
import { responseObjectSchema } from './response-object.ts'

const sequenced = { sequence_number: z.number() }
const ofItem = { ...sequenced, output_index: z.number(), item_id: z.string() }
const ofPart = { ...ofItem, content_index: z.number() }
const ofSummary = { ...ofItem, summary_index: z.number() }

function lifecycle<Type extends string>(type: Type) {
  return z.looseObject({ type: z.literal(type), ...sequenced, response: responseObjectSchema })
}

function itemEvent<Type extends string>(type: Type) {
  return z.looseObject({ type: z.literal(type), ...sequenced, output_index: z.number(), item: outputItemSchema })
}

function partEvent<Type extends string>(type: Type) {
  const part = z.discriminatedUnion('type', [outputTextSchema, reasoningTextSchema])
  return z.looseObject({ type: z.literal(type), ...ofPart, part })
}

function summaryPartEvent<Type extends string>(type: Type) {
  return z.looseObject({ type: z.literal(type), ...ofSummary, part: summaryTextSchema })
}

/** One event of a streamed response, in the order in which they can come. */
export const responseEventSchema = z.discriminatedUnion('type', [
  lifecycle('response.created'),
  lifecycle('response.queued'),
  lifecycle('response.in_progress'),
  itemEvent('response.output_item.added'),
  partEvent('response.content_part.added'),
  z.looseObject({ type: z.literal('response.reasoning_text.delta'), ...ofPart, delta: z.string() }),
  z.looseObject({ type: z.literal('response.reasoning_text.done'), ...ofPart, text: z.string() }),
  summaryPartEvent('response.reasoning_summary_part.added'),
  z.looseObject({ type: z.literal('response.reasoning_summary_text.delta'), ...ofSummary, delta: z.string() }),
  z.looseObject({ type: z.literal('response.reasoning_summary_text.done'), ...ofSummary, text: z.string() }),
  summaryPartEvent('response.reasoning_summary_part.done'),
  z.looseObject({
    type: z.literal('response.output_text.delta'),
    ...ofPart,
    delta: z.string(),
    logprobs: z.array(outputLogprobSchema),
  }),
  z.looseObject({
    type: z.literal('response.output_text.done'),
    ...ofPart,
    text: z.string(),
    logprobs: z.array(outputLogprobSchema),
  }),
  z.looseObject({ type: z.literal('response.function_call_arguments.delta'), ...ofItem, delta: z.string() }),
  z.looseObject({
    type: z.literal('response.function_call_arguments.done'),
    ...ofItem,
    name: z.string(),
    arguments: z.string(),
  }),
  partEvent('response.content_part.done'),
  itemEvent('response.output_item.done'),
  lifecycle('response.completed'),
  lifecycle('response.incomplete'),
  lifecycle('response.failed'),
  /** Before `response.failed`, or alone where there is no response yet. */
  z.looseObject({
    type: z.literal('error'),
    ...sequenced,
    code: z.string().nullable(),
    message: z.string(),
    param: z.string().nullable(),
    error: z.looseObject({
      type: z.string(),
      code: z.string().nullable(),
      message: z.string(),
      param: z.string().nullable(),
    }),
  }),
])

export type ResponseEvent = z.infer<typeof responseEventSchema>
