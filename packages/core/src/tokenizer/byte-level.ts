/**
 * GPT-2's printable stand-ins for bytes: printable Latin-1 bytes stand for themselves, the others for U+0100 and up
 * (Radford et al. 2019, `bytes_to_unicode`).
 */
const byteChars: readonly string[] = (() => {
  let next = 0x100
  const isPrintable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++))
})()

const byteOfChar: ReadonlyMap<string, number> = new Map(byteChars.map((char, byte) => [char, byte]))
const encoder = new TextEncoder()

/** A token with any character outside the alphabet is not byte-level (an added token, say): its own UTF-8 bytes stand. */
export function fromByteChars(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length)
  for (let i = 0; i < token.length; i++) {
    const byte = byteOfChar.get(token[i]!)
    if (byte === undefined) return encoder.encode(token)
    bytes[i] = byte
  }
  return bytes
}

const byteTokenPattern = /^<0x[0-9A-Fa-f]{2}>$/

/** `<0x0A>` → 10; `null` for other tokens. */
export function byteFallbackValue(token: string): number | null {
  return byteTokenPattern.test(token) ? Number.parseInt(token.slice(3, 5), 16) : null
}

/** Each byte of the text's UTF-8 as its stand-in. */
export function toByteChars(text: string): string {
  let result = ''
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code >= 0x80) return result + fromBytes(encoder.encode(text.slice(i)))
    result += byteChars[code]!
  }
  return result
}

function fromBytes(bytes: Uint8Array): string {
  let result = ''
  for (const byte of bytes) result += byteChars[byte]!
  return result
}
