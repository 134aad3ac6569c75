import { z } from 'zod'

const maxDepth = 64

/** An object of unknown content, no deeper than 64 levels, so that code which recurses over it stays within its stack. */
export const jsonObjectSchema = z
  .record(z.string(), z.unknown())
  .refine((value) => isShallow(value), { error: `must be nested at most ${maxDepth} levels deep` })

function isShallow(root: unknown): boolean {
  let level: unknown[] = [root]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > maxDepth) return false
    level = level.flatMap((value) => (typeof value === 'object' && value !== null ? Object.values(value) : []))
  }
  return true
}
