import { createHash } from 'node:crypto'
import type { Caller } from './auth.ts'

/**
 * The salt under which a request's blocks enter the prefix cache: callers with different keys never share one,
 * whatever `cache_salt` they send. A digest, because the engine has no business with keys.
 */
export function deriveCacheSalt({ apiKey }: Caller, requestSalt: string | null): string | null {
  if (apiKey === null) return requestSalt
  return createHash('sha256')
    .update(JSON.stringify(['octavo-cache-salt', apiKey, requestSalt]))
    .digest('hex')
}
