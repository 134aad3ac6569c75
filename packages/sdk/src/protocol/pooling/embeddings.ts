import { z } from 'zod'
import { usageSchema } from '../usage.ts'
import { checkPoolingInput, poolingInputShape, poolingOptionShape } from './pooling-options.ts'
import { checkVectorEncoding, vectorEncodingShape } from './vector-encoding.ts'

/** Body of POST /v1/embeddings: OpenAI's, with vLLM's extra parameters. Unknown fields are dropped. */
export const embeddingRequestSchema = z
  .object({
    ...poolingOptionShape,
    ...poolingInputShape,
    ...vectorEncodingShape,
    /** Numbers of an embedding to keep, where the model was made for it (Matryoshka). */
    dimensions: z.int().min(1).nullish(),
  })
  .superRefine((request, context) => {
    const fail = (field: string, message: string) => context.addIssue({ code: 'custom', path: [field], message })
    checkPoolingInput(request, fail)
    checkVectorEncoding(request, fail)
  })

export const embeddingSchema = z.looseObject({
  /** Which of the inputs. */
  index: z.number(),
  object: z.literal('embedding'),
  /** Base64 of the bytes, where it was asked for. */
  embedding: z.union([z.array(z.number()), z.string()]),
})

/** Answer of POST /v1/embeddings. */
export const embeddingListSchema = z.looseObject({
  id: z.string(),
  object: z.literal('list'),
  /** Seconds since 1970. */
  created: z.number(),
  model: z.string(),
  data: z.array(embeddingSchema),
  usage: usageSchema,
})

export type EmbeddingRequest = z.infer<typeof embeddingRequestSchema>
export type Embedding = z.infer<typeof embeddingSchema>
export type EmbeddingList = z.infer<typeof embeddingListSchema>
