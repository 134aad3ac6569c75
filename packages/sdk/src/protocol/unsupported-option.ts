import { z } from 'zod'

/**
 * A field that exists in OpenAI's or vLLM's protocol and would change the result, but that Octavo does not have yet:
 * anything but absence or `null` is refused, because an option is never parsed and then ignored.
 */
export function unsupportedOption() {
  return z.custom<null>((value) => value === null, { error: 'is not supported yet; leave it out' }).optional()
}

/** As `unsupportedOption`, where one literal asks for nothing and is allowed. */
export function onlyNeutral<T extends string | number | boolean>(neutral: T) {
  return z
    .custom<T | null>((value) => value === null || value === neutral, {
      error: `is not supported yet; leave it out or pass ${JSON.stringify(neutral)}`,
    })
    .optional()
}
