import { z } from 'zod'

/**
 * A field that exists in OpenAI's or vLLM's protocol and would change the result, but that Octavo does not have yet:
 * anything but absence or `null` is refused, because an option is never parsed and then ignored.
 */
export function unsupportedOption() {
  return onlyNull('is not supported yet; leave it out')
}

/** A field that the protocol had once; `remedy` says what took its place. */
export function removedOption(remedy: string) {
  return onlyNull(`is not supported any more; ${remedy}`)
}

/** Anything but absence or `null` is refused with these words. */
export function onlyNull(error: string) {
  const schema = z.custom<null>((value) => value === null, { error })
  return schema.meta({ type: 'null', description: error }).optional()
}

/** As `unsupportedOption`, where one value asks for nothing and is allowed: a literal, `[]` or `{}`; `remedy` says what else to do. */
export function onlyNeutral<T extends string | number | boolean | readonly never[] | Readonly<Record<string, never>>>(
  neutral: T,
  remedy = 'is not supported yet; leave it out',
) {
  const error = `${remedy} or pass ${JSON.stringify(neutral)}`
  return z
    .custom<T | null>((value) => value === null || value === neutral || isEmptyLike(value, neutral), { error })
    .meta({ enum: [neutral, null] })
    .optional()
}

function isEmptyLike(value: unknown, neutral: unknown): boolean {
  if (typeof value !== 'object' || value === null || typeof neutral !== 'object') return false
  return Array.isArray(value) === Array.isArray(neutral) && Object.keys(value).length === 0
}
