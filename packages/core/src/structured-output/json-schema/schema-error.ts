import { InvalidRequestError } from '../../errors.ts'

/** Refuses a schema: where, which keyword, why, and what to write instead. */
export function schemaError(
  [pointer, keyword]: readonly [pointer: string, keyword: string | null],
  reason: string,
  options?: ErrorOptions,
): InvalidRequestError {
  const place = keyword === null ? `the schema at ${pointer}` : `"${keyword}" of the schema at ${pointer}`
  return new InvalidRequestError([{ field: 'structuredOutput' }, `: ${place} ${reason}`], 'structuredOutput', options)
}
