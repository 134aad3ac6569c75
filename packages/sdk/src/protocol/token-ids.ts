import { z } from 'zod'

/** More than any vocabulary has. */
const maxTokenIds = 524_288

/** As JSON Schema. */
export const tokenIdsMeta = { type: 'array', items: { type: 'integer', minimum: 0 } }

/** A set of token ids; upper bounds depend on the model and are checked by the engine. Stops at the first wrong entry, however long the list. */
export const tokenIdsSchema = z
  .custom<number[]>((value) => isTokenIds(value) && value.length <= maxTokenIds, {
    error: `must be an array of at most ${maxTokenIds} token ids (integers of at least 0)`,
  })
  .meta({ ...tokenIdsMeta, maxItems: maxTokenIds })

export function isTokenIds(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((id) => Number.isSafeInteger(id) && id >= 0)
}
