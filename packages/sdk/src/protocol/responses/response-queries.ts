import { z } from 'zod'
import { onlyNeutral } from '../unsupported-option.ts'
import { includableSchema } from './response-request.ts'

/** Lists come as `include[]=a&include[]=b`, as `include=a`, or once. */
const includeShape = {
  include: z.union([includableSchema, z.array(includableSchema).max(64)]).optional(),
  'include[]': z.union([includableSchema, z.array(includableSchema).max(64)]).optional(),
}

const flagSchema = z.enum(['true', 'false'], { error: 'must be true or false' })
const countSchema = z.string().regex(/^\d{1,15}$/, { error: 'must be a number of at least 0' })

/** Query of GET /v1/responses/ID. */
export const responseQuerySchema = z
  .object({
    ...includeShape,
    stream: flagSchema.optional(),
    /** The number of the last event that the client has. */
    starting_after: countSchema.optional(),
    include_obfuscation: onlyNeutral('false', 'is not supported: events are not padded; leave it out'),
  })
  .superRefine(({ stream, starting_after: startingAfter }, context) => {
    if (startingAfter !== undefined && stream !== 'true')
      context.addIssue({ code: 'custom', path: ['starting_after'], message: 'needs stream=true' })
  })

/** Query of GET /v1/responses/ID/input_items. */
export const inputItemsQuerySchema = z.object({
  ...includeShape,
  /** 1 to 100, default 20. */
  limit: z
    .string()
    .regex(/^([1-9]\d?|100)$/, { error: 'must be a number from 1 to 100' })
    .optional(),
  /** Default 'desc'. */
  order: z.enum(['asc', 'desc']).optional(),
  /** The id of the item after which the page begins. */
  after: z.string().min(1).max(256).optional(),
})
