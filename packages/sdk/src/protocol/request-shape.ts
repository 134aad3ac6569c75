import { z } from 'zod'

/** What every request to a model may say of itself. */
export const requestShape = {
  /** Absent: the first served model. */
  model: z.string().nullish(),
  /** Prefix-cache entries are shared only between requests with equal salts. */
  cache_salt: z.string().min(1).max(1024).nullish(),
  /** Lower runs earlier, with the priority policy only. */
  priority: z.int().nullish(),
  request_id: z
    .string()
    .regex(/^[\w.:-]{1,128}$/, { error: 'must be 1 to 128 letters, digits, "_", ".", ":" or "-"' })
    .nullish(),
}

/** What becomes of prompts that are too long. */
export const truncationShape = {
  /** Keep this many prompt tokens; -1 = as many as the context holds. */
  truncate_prompt_tokens: z
    .int()
    .refine((value) => value === -1 || value >= 1, { error: 'must be -1 or at least 1' })
    .nullish(),
  /** Which end is cut away. */
  truncation_side: z.enum(['left', 'right']).nullish(),
}
