import { z } from 'zod'

/** An array whose length is checked before its elements, so that a hostile list of millions does not become millions of issues. */
export function boundedArray<T extends z.ZodType>(element: T, { min = 0, max }: { min?: number; max: number }) {
  return z
    .array(z.unknown())
    .min(min, { error: `must have at least ${min} entry` })
    .max(max, { error: `must have at most ${max} entries` })
    .pipe(z.array(element))
}
