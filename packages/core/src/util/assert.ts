/** For our own bugs only: bad input gets a typed error from `errors.ts`. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`Octavo bug: ${message}`)
}

export function unreachable(value: never): never {
  throw new Error(`Octavo bug: unreachable case ${JSON.stringify(value)}`)
}
