import { z } from 'zod'

/** Token ids; upper bounds depend on the model and are checked by the engine. Stops at the first wrong entry, however long the list. */
export const tokenIdsSchema = z.custom<number[]>(isTokenIds, {
  error: 'must be an array of token ids (integers of at least 0)',
})

export function isTokenIds(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((id) => Number.isSafeInteger(id) && id >= 0)
}
