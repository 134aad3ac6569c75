import { InvalidConfigError } from '@octavo/core'
import { type ApiKeyOptions, checkApiKeys, KeyRing } from '@octavo/server'
import { readYaml } from '../config/config-file.ts'
import { isObject } from '../config/is-object.ts'

export interface KeySources {
  readonly apiKey: readonly string[] | null
  readonly apiKeyFile: string | null
}

/** `null` where no key is asked for. @throws InvalidConfigError for a key that no request can show, and for a file that has none */
export function openKeyRing(sources: KeySources): KeyRing | null {
  if (sources.apiKey === null && sources.apiKeyFile === null) return null
  checkApiKeys(sources.apiKey ?? [], 'apiKey')
  return new KeyRing(readKeys(sources))
}

/** @throws InvalidConfigError; no key is quoted */
export function readKeys({ apiKey, apiKeyFile }: KeySources): (string | ApiKeyOptions)[] {
  return [...(apiKey ?? []), ...(apiKeyFile === null ? [] : readKeyFile(apiKeyFile))]
}

/** A list of keys, or an object with one under `keys`; fields by their names with - or _ between the words. */
function readKeyFile(file: string): ApiKeyOptions[] {
  const content = readYaml(file, 'apiKeyFile')
  const list = isObject(content) && Object.keys(content).join() === 'keys' ? content['keys'] : content
  // A file that is empty for a moment must not open the door, nor one that is of another kind.
  if (!Array.isArray(list) || list.length === 0)
    throw new InvalidConfigError('apiKeyFile', `${file} must have a list of keys with at least one.`)
  return list.map((entry: unknown, index) => {
    if (isObject(entry)) return inCamelCase(entry)
    // YAML makes "null" of an entry that is empty, and another text of a number: neither is what somebody chose.
    if (typeof entry !== 'string')
      throw new InvalidConfigError('apiKeyFile', `${file}: key ${index + 1} is no text; write it in quotes.`)
    return { key: entry }
  })
}

function inCamelCase(entry: Readonly<Record<string, unknown>>): ApiKeyOptions {
  const named = Object.entries(entry).map(([key, value]) => [
    key.replaceAll(/[-_](.)/g, (_, letter: string) => letter.toUpperCase()),
    value,
  ])
  return Object.fromEntries(named) as ApiKeyOptions // the ring checks it
}
