export type Variables = Readonly<Record<string, string | undefined>>

/** The only reader of `process.env` in this package. */
export function currentVariables(): Variables {
  return process.env
}
