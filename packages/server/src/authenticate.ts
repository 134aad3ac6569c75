import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { InvalidConfigError } from '@octavo/core'

/** Whom a request comes from. */
export interface Caller {
  /** Callers of one tenant share prefix-cache entries, others never do; `null` = as everyone without a tenant. */
  readonly tenant: string | null
}

/** What can be known of a request before its body is read. */
export interface UnauthenticatedRequest {
  readonly headers: IncomingHttpHeaders
  readonly method: string
  readonly url: string
  readonly ip: string
  /** Node's own object, with what other middleware has put there. */
  readonly raw: IncomingMessage
}

/** Decides who may call; `null` = nobody who may, which is answered with 401. */
export type Authenticate = (request: UnauthenticatedRequest) => Caller | null | Promise<Caller | null>

export interface AuthenticationOptions {
  readonly apiKeys?: readonly string[] | undefined
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
  checkApiKeys(apiKeys)
  if (apiKeys.length === 0) return () => ({ tenant: null })
  const known = apiKeys.map(sha256)
  // Comparing digests of equal length, and always all of them, tells a guesser nothing by its time.
  return ({ headers }) => {
    const presented = presentedKey(headers)
    if (presented === null) return null
    const digest = sha256(presented)
    const matches = known.filter((key) => timingSafeEqual(key, digest))
    return matches[0] === undefined ? null : { tenant: matches[0].toString('hex') }
  }
}

/** The key that a request shows: `Authorization: Bearer KEY`, or `x-api-key: KEY`, as Anthropic's clients do. */
export function presentedKey({ authorization, 'x-api-key': apiKey }: IncomingHttpHeaders): string | null {
  return (
    /^bearer +(.+)$/i.exec(authorization ?? '')?.[1] ?? (typeof apiKey === 'string' && apiKey !== '' ? apiKey : null)
  )
}

/**
 * Whether a key is the operator's; `null` where there is none.
 * @throws InvalidConfigError for a key that no header can carry
 */
export function createAdminCheck(adminApiKey: string | undefined): ((key: string) => boolean) | null {
  if (adminApiKey === undefined) return null
  checkApiKeys([adminApiKey], 'adminApiKey')
  const known = sha256(adminApiKey)
  return (key) => timingSafeEqual(known, sha256(key))
}

/**
 * Says at once that a key is of no use, not after a model has been loaded for minutes.
 * @param option the name under which the caller was given them
 * @throws InvalidConfigError
 */
export function checkApiKeys(apiKeys: readonly string[], option = 'apiKeys'): void {
  for (const [index, key] of apiKeys.entries()) checkKey(key, { index, option })
}

/** A header loses the white space at its ends, and carries no more than printable ASCII safely. */
function checkKey(key: string, { index, option }: { readonly index: number; readonly option: string }): void {
  if (key.trim() === '') {
    throw new InvalidConfigError(
      option,
      'holds an empty key; pass at least one character, or no keys to let everyone in.',
    )
  }
  if (/^[\x21-\x7e]+( +[\x21-\x7e]+)*$/.test(key)) return
  const fault = key === key.trim() ? 'a character beyond printable ASCII' : 'white space at an end'
  throw new InvalidConfigError(
    option,
    `key ${index + 1} has ${fault}, so no Authorization header could ever match it; choose another key.`,
  )
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
