import { createHash } from 'node:crypto'
import type { Caller } from './authenticate.ts'

/**
 * The salt under which a request's blocks enter the prefix cache: callers of different tenants never share one,
 * whatever `cache_salt` they send. A digest, because the engine has no business with tenants.
 */
export function deriveCacheSalt({ tenant }: Caller, requestSalt: string | null): string | null {
  if (tenant === null) return requestSalt
  return createHash('sha256')
    .update(JSON.stringify(['octavo-cache-salt', tenant, requestSalt]))
    .digest('hex')
}
