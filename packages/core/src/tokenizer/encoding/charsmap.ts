import { TokenizerError } from '../../errors.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true })
const maxLength = 2 ** 24
/** Characters that are graphemes of their own, whatever stands beside them. */
const simple = /^[\t\n\x20-\x7e\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff]*$/

/**
 * SentencePiece's compiled normalization: a double array of prefixes (darts-clone) over texts that end with NUL.
 * As in Rust's `spm_precompiled`, a short grapheme that begins with an entry becomes that entry's text as a whole.
 */
export function createCharsmap(base64: string): (text: string) => string {
  if (base64.length > maxLength)
    throw new TokenizerError(
      `tokenizer.json: Precompiled has ${base64.length} characters; at most ${maxLength} are allowed.`,
    )
  const bytes = Uint8Array.from(Buffer.from(base64, 'base64'))
  if (bytes.length === 0) return (text) => text
  const view = new DataView(bytes.buffer)
  const trieBytes = bytes.length >= 4 ? view.getUint32(0, true) : 0
  if (bytes.length < 8 || trieBytes < 4 || trieBytes % 4 !== 0 || 4 + trieBytes > bytes.length)
    throw new TokenizerError('tokenizer.json: the charsmap of Precompiled is damaged.')
  const units = Uint32Array.from({ length: trieBytes / 4 }, (_, i) => view.getUint32(4 + 4 * i, true))
  const texts = bytes.subarray(4 + trieBytes)
  const known = new Map<string, string | null>()
  const mapped = (part: string): string | null => {
    let found = known.get(part)
    if (found === undefined) {
      const at = shortestPrefix(units, encoder.encode(part))
      found = at === null ? null : textAt(texts, at)
      if (known.size < 65_536) known.set(part, found)
    }
    return found
  }
  const segmenter = new Intl.Segmenter('und', { granularity: 'grapheme' })
  const perChar = (text: string): string => {
    let result = ''
    for (const char of text) result += mapped(char) ?? char
    return result
  }
  return (text) => {
    if (simple.test(text)) return perChar(text)
    let result = ''
    for (const { segment } of segmenter.segment(text)) {
      const whole = segment.length < 6 && encoder.encode(segment).length < 6 ? mapped(segment) : null
      result += whole ?? perChar(segment)
    }
    return result
  }
}

function shortestPrefix(units: Uint32Array, key: Uint8Array): number | null {
  const offset = (unit: number): number => (unit >>> 10) << ((unit & 512) >>> 6)
  let at = offset(units[0]!)
  for (const byte of key) {
    if (byte === 0) return null
    at ^= byte
    const unit = units[at]
    if (unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) return null
    at ^= offset(unit)
    if ((unit & 256) !== 0) return (units[at] ?? 0) & 0x7fffffff
  }
  return null
}

function textAt(texts: Uint8Array, from: number): string {
  const end = texts.indexOf(0, from)
  return decoder.decode(texts.subarray(from, end === -1 ? undefined : end))
}
