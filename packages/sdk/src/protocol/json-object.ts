import { z } from 'zod'

const maxDepth = 64
const maxValues = 65_536

export const tooLarge = `must have at most ${maxValues} values, nested at most ${maxDepth} levels deep`

/** An object of unknown content, no deeper than 64 levels, so that code which recurses over it stays within its stack, and of bounded size. */
export const jsonObjectSchema = z.record(z.string(), z.unknown()).refine((value) => isSmall(value), {
  error: tooLarge,
})

function isSmall(root: unknown): boolean {
  let level: unknown[] = [root]
  let numValues = 0
  for (let depth = 0; level.length > 0; depth++) {
    numValues += level.length
    if (depth > maxDepth || numValues > maxValues) return false
    level = level.flatMap((value) => (typeof value === 'object' && value !== null ? Object.values(value) : []))
  }
  return true
}
