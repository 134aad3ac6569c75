import { z } from 'zod'
import { usageSchema } from '../usage.ts'
import { checkPoolingInput, poolingInputShape, poolingOptionShape } from './pooling-options.ts'
import { checkVectorEncoding, vectorEncodingShape } from './vector-encoding.ts'

export const poolingTaskSchema = z.enum(['embed', 'classify', 'token_embed', 'token_classify'])

/** Body of POST /pooling. Unknown fields are dropped. */
export const poolingRequestSchema = z
  .object({
    ...poolingOptionShape,
    ...poolingInputShape,
    ...vectorEncodingShape,
    /** Absent: the first that the model does. */
    task: poolingTaskSchema.nullish(),
    /** As for embeddings. */
    dimensions: z.int().min(1).nullish(),
  })
  .superRefine((request, context) => {
    const fail = (field: string, message: string) => context.addIssue({ code: 'custom', path: [field], message })
    checkPoolingInput(request, fail)
    checkVectorEncoding(request, fail)
  })

export const pooledSchema = z.looseObject({
  /** Which of the inputs. */
  index: z.number(),
  object: z.literal('pooling'),
  /** One vector, for the tasks of tokens one for each, or base64 of the bytes. */
  data: z.union([z.array(z.array(z.number())), z.array(z.number()), z.string()]),
})

/** Answer of POST /pooling. */
export const pooledListSchema = z.looseObject({
  id: z.string(),
  object: z.literal('list'),
  /** Seconds since 1970. */
  created: z.number(),
  model: z.string(),
  data: z.array(pooledSchema),
  usage: usageSchema,
})

export type WirePoolingRequest = z.infer<typeof poolingRequestSchema>
export type Pooled = z.infer<typeof pooledSchema>
export type PooledList = z.infer<typeof pooledListSchema>
