/** Decodes lossily: one U+FFFD per maximal invalid part, and a byte order mark is text like any other. */
const lossyDecoder = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true })
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export const replacementChar = '\uFFFD'

export function decodeLossy(bytes: Uint8Array): string {
  return lossyDecoder.decode(bytes)
}

/** `null` where the bytes are not UTF-8. */
export function decodeStrict(bytes: Uint8Array): string | null {
  try {
    return strictDecoder.decode(bytes)
  } catch {
    return null
  }
}

export function countCodePoints(text: string): number {
  let count = 0
  for (let i = 0; i < text.length; i++) if ((text.charCodeAt(i) & 0xfc00) !== 0xdc00) count++
  return count
}

/**
 * How many bytes at the end are the valid beginning of a character that more bytes may complete (0 to 3).
 * A lossy decoder shows them as exactly one U+FFFD.
 */
export function incompleteTailLength(bytes: Uint8Array): number {
  for (let length = 1; length <= 3 && length <= bytes.length; length++) {
    const at = bytes.length - length
    const lead = bytes[at]!
    if (lead >= 0x80 && lead < 0xc0) continue
    const needed =
      lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 1
    return length < needed && isValidSecond(lead, bytes[at + 1]) ? length : 0
  }
  return 0
}

/** Overlong forms, surrogates and code points past U+10FFFF fail at the second byte. */
function isValidSecond(lead: number, second: number | undefined): boolean {
  if (second === undefined) return true
  if (lead === 0xe0) return second >= 0xa0
  if (lead === 0xed) return second < 0xa0
  if (lead === 0xf0) return second >= 0x90
  if (lead === 0xf4) return second < 0x90
  return true
}
