import { z } from 'zod'
import { limitSchema, pageShape } from './list-page.ts'

/** An uploaded file, or one that a batch has written. */
export const fileObjectSchema = z.looseObject({
  id: z.string(),
  object: z.literal('file'),
  bytes: z.number(),
  /** Seconds since 1970. */
  created_at: z.number(),
  expires_at: z.number().nullish(),
  /** As the client calls it. */
  filename: z.string(),
  purpose: z.enum(['batch', 'batch_output']),
  status: z.literal('processed'),
})

export const fileListSchema = z.looseObject({ ...pageShape, data: z.array(fileObjectSchema) })

export const fileDeletedSchema = z.looseObject({ id: z.string(), object: z.literal('file'), deleted: z.literal(true) })

/** Query of GET /v1/files. */
export const fileQuerySchema = z.object({
  /** Only those after this one in the list. */
  after: z.string().optional(),
  limit: limitSchema(10_000),
  /** By the time of creation; default newest first. */
  order: z.enum(['asc', 'desc']).optional(),
  purpose: z.string().optional(),
})

/** Query of GET /v1/batches: newest first. */
export const batchQuerySchema = z.object({ after: z.string().optional(), limit: limitSchema(100) })

/** From an hour to 30 days after the creation. */
export const expiresAfterSchema = z.object({
  anchor: z.literal('created_at', { error: 'must be "created_at"' }),
  seconds: z.coerce.number({ error: 'must be a number' }).int().min(3600).max(2_592_000),
})

/** The fields of a form with a file. */
export const uploadFieldsSchema = z.object({
  purpose: z.literal('batch', { error: 'must be "batch": this server keeps files for batches only' }),
  expires_after: expiresAfterSchema.optional(),
})

/** How a form with a file is described: parsed by hand, as it comes. */
export const uploadSchema = uploadFieldsSchema.extend({ file: z.string().meta({ format: 'binary' }) })

export type FileObject = z.infer<typeof fileObjectSchema>
export type FileList = z.infer<typeof fileListSchema>
export type FileDeleted = z.infer<typeof fileDeletedSchema>
export type FileQuery = z.infer<typeof fileQuerySchema>
export type BatchQuery = z.infer<typeof batchQuerySchema>
export type ExpiresAfter = z.infer<typeof expiresAfterSchema>
export type UploadFields = z.infer<typeof uploadFieldsSchema>
