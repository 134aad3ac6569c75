import { createHash, timingSafeEqual } from 'node:crypto'
import { InvalidConfigError } from '@octavo/core'

/** Whom a request comes from; `apiKey` is `null` where the server asks for none. */
export interface Caller {
  readonly apiKey: string | null
}

/** The Authorization header → the caller, or `null` where the key is missing or wrong. */
export type Authenticate = (authorization: string | undefined) => Caller | null

/** Without keys, everyone may call. Comparing digests of equal length, and always all of them, tells a guesser nothing by its time. */
export function createAuthenticate(apiKeys: readonly string[]): Authenticate {
  if (apiKeys.some((key) => key.trim() === '')) {
    throw new InvalidConfigError(
      'apiKeys',
      'holds an empty key; pass at least one character, or no keys to let everyone in.',
    )
  }
  if (apiKeys.length === 0) return () => ({ apiKey: null })
  const known = apiKeys.map((apiKey) => ({ apiKey, digest: sha256(apiKey) }))
  return (authorization) => {
    const presented = /^bearer +(.+)$/i.exec(authorization ?? '')?.[1]
    if (presented === undefined) return null
    const digest = sha256(presented)
    const matches = known.filter((key) => timingSafeEqual(key.digest, digest))
    return matches[0] === undefined ? null : { apiKey: matches[0].apiKey }
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
