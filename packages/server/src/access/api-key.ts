import { createHash } from 'node:crypto'
import { InvalidConfigError, type OptionTable, resolveOptions } from '@octavo/core'
import { checkApiKeys } from './check-api-keys.ts'
import type { KeyLimits } from './key-meter.ts'

/** A key and what it may do; it is given itself or as its SHA-256 in hexadecimal, as `octavo key` prints it. */
export interface ApiKeyOptions extends Partial<KeyLimits> {
  /** For messages of this server; default: its place in the list. */
  readonly name?: string
  readonly key?: string
  readonly sha256?: string
  /** Keys of one tenant share prefix-cache entries. Default: a tenant of its own. */
  readonly tenant?: string
}

/** A key as it is held: nothing here opens a door. */
export interface ApiKey {
  readonly name: string
  readonly sha256: Buffer
  readonly tenant: string
  readonly limits: KeyLimits
}

const limit = { kind: 'integer', min: 1, max: Number.MAX_SAFE_INTEGER } as const

/** One row per field of a key. */
export const apiKeyTable = {
  name: {
    group: 'key',
    type: { kind: 'text' },
    default: null,
    otherwise: 'its place in the list',
    doc: 'What messages of the server call it.',
  },
  key: {
    group: 'key',
    type: { kind: 'text' },
    default: null,
    otherwise: '`sha256` must be there',
    isSecret: true,
    doc: 'The key itself.',
  },
  sha256: {
    group: 'key',
    type: { kind: 'text' },
    default: null,
    otherwise: '`key` must be there',
    doc: 'Its SHA-256 in hexadecimal, as `octavo key` prints it.',
  },
  tenant: {
    group: 'key',
    type: { kind: 'text' },
    default: null,
    otherwise: 'one of its own',
    doc: 'Keys of one tenant share prefix-cache entries.',
  },
  requestsPerMinute: {
    group: 'key',
    type: limit,
    default: null,
    otherwise: 'no limit',
    doc: 'Requests that make the model work.',
  },
  tokensPerMinute: {
    group: 'key',
    type: limit,
    unit: 'tokens',
    default: null,
    otherwise: 'no limit',
    doc: 'Tokens of prompts and outputs, counted when they are known: who is over it waits.',
  },
  maxConcurrentRequests: {
    group: 'key',
    type: limit,
    default: null,
    otherwise: 'no limit',
    doc: 'Requests at once, with what they have left running in the background.',
  },
} as const satisfies OptionTable

/**
 * Checks a list of keys as programs and files give it.
 * @param option the name under which the caller was given them
 * @throws InvalidConfigError that names the entry and quotes no key
 */
export function resolveApiKeys(given: readonly unknown[], option = 'apiKeys'): ApiKey[] {
  const keys = given.map((one, index) => resolveApiKey(typeof one === 'string' ? { key: one } : one, { index, option }))
  for (const [index, { sha256, name }] of keys.entries()) {
    const twin = keys.slice(0, index).find((other) => other.sha256.equals(sha256))
    if (twin !== undefined)
      throw new InvalidConfigError(option, `${name} and ${twin.name} are the same key; leave one out.`)
  }
  return keys
}

interface Entry {
  readonly index: number
  readonly option: string
}

function resolveApiKey(given: unknown, { index, option }: Entry): ApiKey {
  const place = `key ${index + 1}`
  const fail = (message: string): never => {
    throw new InvalidConfigError(option, `${place} ${message}`)
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    fail('must be a text or an object with key or sha256.')
  const entry = given as Readonly<Record<string, unknown>>
  for (const field of Object.keys(entry)) {
    if (!(field in apiKeyTable)) fail(`has a field that is none; it may have ${Object.keys(apiKeyTable).join(', ')}.`)
  }
  const fields = resolveFields(entry, fail)
  if ((fields.key === null) === (fields.sha256 === null)) fail('needs one of key and sha256.')
  if (fields.key !== null) checkApiKeys([fields.key], `${option}, ${place}`)
  const sha256 = fields.key === null ? parseSha256(fields.sha256 ?? '', fail) : sha256Of(fields.key)
  const { requestsPerMinute, tokensPerMinute, maxConcurrentRequests } = fields
  return {
    name: fields.name ?? place,
    sha256,
    // Apart from those of the hashes, so that nobody's name is another's key.
    tenant: fields.tenant === null ? sha256.toString('hex') : `tenant ${fields.tenant}`,
    limits: { requestsPerMinute, tokensPerMinute, maxConcurrentRequests },
  }
}

function resolveFields(entry: Readonly<Record<string, unknown>>, fail: (message: string) => never) {
  try {
    return resolveOptions(apiKeyTable, entry)
  } catch (error) {
    if (!(error instanceof InvalidConfigError)) throw error
    return fail(`has a wrong field: ${error.message}.`)
  }
}

function parseSha256(text: string, fail: (message: string) => never): Buffer {
  if (!/^[0-9a-f]{64}$/i.test(text)) fail('has a sha256 that is not 64 hexadecimal digits; `octavo key` makes one.')
  return Buffer.from(text, 'hex')
}

export function sha256Of(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
