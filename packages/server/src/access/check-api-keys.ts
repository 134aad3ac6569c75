import { InvalidConfigError } from '@octavo/core'

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
