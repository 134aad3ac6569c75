import { z } from 'zod'
import { outputItemSchema } from './response-item.ts'

export const responseStatusSchema = z.enum(['queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled'])

export const responseUsageSchema = z.looseObject({
  input_tokens: z.number(),
  /** Tokens whose KV came from the prefix cache. */
  input_tokens_details: z.looseObject({ cached_tokens: z.number() }),
  output_tokens: z.number(),
  output_tokens_details: z.looseObject({ reasoning_tokens: z.number() }),
  total_tokens: z.number(),
})

/** Answer of POST /v1/responses and GET /v1/responses/ID. */
export const responseObjectSchema = z.looseObject({
  id: z.string(),
  object: z.literal('response'),
  /** Seconds since 1970. */
  created_at: z.number(),
  completed_at: z.number().nullable(),
  status: responseStatusSchema,
  background: z.boolean(),
  error: z.looseObject({ code: z.string(), message: z.string() }).nullable(),
  incomplete_details: z.looseObject({ reason: z.string() }).nullable(),
  model: z.string(),
  output: z.array(outputItemSchema),
  usage: responseUsageSchema.nullable(),
  previous_response_id: z.string().nullable(),
  /** Whether it can be read later. */
  store: z.boolean(),
  metadata: z.record(z.string(), z.string()),
})

/** Answer of DELETE /v1/responses/ID. */
export const deletedResponseSchema = z.looseObject({
  id: z.string(),
  object: z.literal('response'),
  deleted: z.literal(true),
})

export type ResponseObject = z.infer<typeof responseObjectSchema>
export type ResponseUsage = z.infer<typeof responseUsageSchema>
export type DeletedResponse = z.infer<typeof deletedResponseSchema>
