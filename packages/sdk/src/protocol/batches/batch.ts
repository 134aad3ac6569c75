import { z } from 'zod'
import { expiresAfterSchema } from './file-object.ts'
import { pageShape } from './list-page.ts'

/** Where the requests of a batch may go: OpenAI's four, and vLLM's two. */
export const batchEndpoints = [
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/embeddings',
  '/v1/responses',
  '/v1/score',
  '/v1/rerank',
] as const

const endpointSchema = z.enum(batchEndpoints, { error: `must be one of ${batchEndpoints.join(', ')}` })

const metadataSchema = z
  .record(z.string().max(64), z.string().max(512), { error: 'must be an object of strings' })
  .refine((metadata) => Object.keys(metadata).length <= 16, { error: 'must have at most 16 entries' })

/** Body of POST /v1/batches. */
export const batchRequestSchema = z.object({
  /** Of a file with the purpose "batch": a request a line. */
  input_file_id: z.string({ error: 'is required: the id of an uploaded file' }).min(1).max(256),
  endpoint: endpointSchema,
  completion_window: z.literal('24h', { error: 'must be "24h"' }),
  metadata: metadataSchema.nullish(),
  /** When the files of results are deleted. */
  output_expires_after: expiresAfterSchema.nullish(),
})

export const batchStatusSchema = z.enum([
  'validating',
  'failed',
  'in_progress',
  'finalizing',
  'completed',
  'expired',
  'cancelling',
  'cancelled',
])

const time = z.number().nullish()

export const batchSchema = z.looseObject({
  id: z.string(),
  object: z.literal('batch'),
  endpoint: z.string(),
  /** What is wrong with the input of a batch that failed. */
  errors: z
    .looseObject({
      object: z.literal('list'),
      data: z.array(
        z.looseObject({
          code: z.string(),
          message: z.string(),
          param: z.string().nullable(),
          /** From 1 on. */
          line: z.number().nullable(),
        }),
      ),
    })
    .nullish(),
  input_file_id: z.string(),
  completion_window: z.string(),
  status: batchStatusSchema,
  /** Requests that were answered with 200, once all have ended. */
  output_file_id: z.string().nullish(),
  /** The others. */
  error_file_id: z.string().nullish(),
  created_at: z.number(),
  in_progress_at: time,
  expires_at: time,
  finalizing_at: time,
  completed_at: time,
  failed_at: time,
  expired_at: time,
  cancelling_at: time,
  cancelled_at: time,
  request_counts: z.looseObject({ total: z.number(), completed: z.number(), failed: z.number() }),
  metadata: z.record(z.string(), z.string()).nullish(),
})

export const batchListSchema = z.looseObject({ ...pageShape, data: z.array(batchSchema) })

/** A line of the input. */
export const batchLineSchema = z.object({
  /** The client's own name for it, another one in each line. */
  custom_id: z.string({ error: 'is required: a text' }).min(1).max(512),
  method: z.literal('POST', { error: 'must be "POST"' }),
  url: z.string({ error: 'is required: the endpoint of the batch' }),
  body: z.record(z.string(), z.unknown(), { error: 'must be an object' }),
})

/** A line of the output, and of the file of errors. */
export const batchResultSchema = z.looseObject({
  id: z.string(),
  custom_id: z.string(),
  response: z.looseObject({ status_code: z.number(), request_id: z.string(), body: z.unknown() }).nullable(),
  /** Why there is no response. */
  error: z.looseObject({ code: z.string(), message: z.string() }).nullable(),
})

export type BatchEndpoint = (typeof batchEndpoints)[number]
export type BatchRequest = z.infer<typeof batchRequestSchema>
export type BatchStatus = z.infer<typeof batchStatusSchema>
export type Batch = z.infer<typeof batchSchema>
export type BatchList = z.infer<typeof batchListSchema>
export type BatchLine = z.infer<typeof batchLineSchema>
export type BatchResult = z.infer<typeof batchResultSchema>
