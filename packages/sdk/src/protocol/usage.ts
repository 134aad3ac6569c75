import { z } from 'zod'

/** Counts of tokens. */
export const usageSchema = z.looseObject({
  prompt_tokens: z.number(),
  completion_tokens: z.number(),
  /** The sum of both. */
  total_tokens: z.number(),
  prompt_tokens_details: z
    .looseObject({
      /** Prompt tokens whose KV came from the prefix cache. */
      cached_tokens: z.number().nullish(),
    })
    .nullish(),
})

export type Usage = z.infer<typeof usageSchema>
