import { z } from 'zod'

/** What a page of a list has beside its entries. */
export const pageShape = {
  object: z.literal('list'),
  first_id: z.string().nullable(),
  last_id: z.string().nullable(),
  /** Whether more follow: those `after` the last one. */
  has_more: z.boolean(),
}

export const limitSchema = (max: number) =>
  z.coerce.number({ error: 'must be a number' }).int().min(1).max(max).optional()
