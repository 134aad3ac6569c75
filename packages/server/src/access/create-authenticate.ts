import { timingSafeEqual } from 'node:crypto'
import { InvalidConfigError } from '@octavo/core'
import type { Authenticate } from '../authenticate.ts'
import { type ApiKeyOptions, sha256Of } from './api-key.ts'
import { checkApiKeys } from './check-api-keys.ts'
import { KeyRing } from './key-ring.ts'

export interface AuthenticationOptions {
  readonly apiKeys?: readonly (string | ApiKeyOptions)[] | undefined
  readonly authenticate?: Authenticate | undefined
}

/**
 * Who decides: the program's own function, the list of keys, or, without both, nobody.
 * @throws InvalidConfigError where there are both, or a key that no header can carry
 */
export function createAuthenticate({ apiKeys = [], authenticate }: AuthenticationOptions): Authenticate {
  if (authenticate !== undefined) {
    if (apiKeys.length > 0)
      throw new InvalidConfigError('authenticate', 'excludes apiKeys; pass one of them, or check the keys in it.')
    return authenticate
  }
  if (apiKeys.length === 0) return () => ({ tenant: null })
  return new KeyRing(apiKeys).authenticate
}

/**
 * Whether a key is the operator's; `null` where there is none.
 * @throws InvalidConfigError for a key that no header can carry
 */
export function createAdminCheck(adminApiKey: string | undefined): ((key: string) => boolean) | null {
  if (adminApiKey === undefined) return null
  checkApiKeys([adminApiKey], 'adminApiKey')
  const known = sha256Of(adminApiKey)
  return (key) => timingSafeEqual(known, sha256Of(key))
}
