import { z } from 'zod'
import { tokenIdsSchema } from '../token-ids.ts'

/** Body of POST /detokenize. Unknown fields are dropped. */
export const detokenizeRequestSchema = z.object({ model: z.string().nullish(), tokens: tokenIdsSchema })

/** Answer of POST /detokenize; special tokens are kept. */
export const detokenizedSchema = z.looseObject({ prompt: z.string() })

export type DetokenizeRequest = z.infer<typeof detokenizeRequestSchema>
export type Detokenized = z.infer<typeof detokenizedSchema>
