/** White space as Python's `str.isspace` and `\s` have it: other than JavaScript's, with U+001C–1F and U+0085, without U+FEFF. */
export const spaceClass = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'

export function isSpace(code: number): boolean {
  if (code < 0x80) return code === 32 || (code >= 9 && code <= 13) || (code >= 28 && code <= 31)
  return (
    code === 0x85 ||
    code === 0xa0 ||
    code === 0x1680 ||
    (code >= 0x2000 && code <= 0x200a) ||
    code === 0x2028 ||
    code === 0x2029 ||
    code === 0x202f ||
    code === 0x205f ||
    code === 0x3000
  )
}

export type Side = 'both' | 'left' | 'right'

/** Python's `str.strip`: white space, or any of the characters of `chars`. */
export function stripText(text: string, side: Side, chars: string | null = null): string {
  const set = chars === null ? null : new Set(chars)
  const isIn = (at: number, size: number): boolean =>
    set === null ? isSpace(text.charCodeAt(at)) : set.has(text.slice(at, at + size))
  const start = side === 'right' ? 0 : skipStart(text, isIn)
  return text.slice(start, side === 'left' ? text.length : skipEnd(text, start, isIn))
}

function skipStart(text: string, isIn: (at: number, size: number) => boolean): number {
  let start = 0
  while (start < text.length) {
    const size = text.codePointAt(start)! > 0xffff ? 2 : 1
    if (!isIn(start, size)) break
    start += size
  }
  return start
}

function skipEnd(text: string, start: number, isIn: (at: number, size: number) => boolean): number {
  let end = text.length
  while (end > start) {
    const size = end - start > 1 && text.codePointAt(end - 2)! > 0xffff ? 2 : 1
    if (!isIn(end - size, size)) break
    end -= size
  }
  return end
}

const surrogate = /[\ud800-\udfff]/

/** Python counts code points. */
export function lengthOf(text: string): number {
  if (!surrogate.test(text)) return text.length
  let length = 0
  for (let i = 0; i < text.length; length++) i += text.codePointAt(i)! > 0xffff ? 2 : 1
  return length
}

/** The code points, indexed in constant time. */
export function charsOf(text: string): string | string[] {
  return surrogate.test(text) ? Array.from(text) : text
}

/** From an index in UTF-16 units, as JavaScript's searches give it, to one in code points. */
export function toCharIndex(text: string, index: number): number {
  return index <= 0 ? index : lengthOf(text.slice(0, index))
}

/** Ordered by code points, where JavaScript orders by UTF-16 units. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0
  const length = Math.min(a.length, b.length)
  let i = 0
  while (i < length && a.charCodeAt(i) === b.charCodeAt(i)) i++
  if (i === length) return a.length - b.length
  const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)]
  const isHigh = (code: number): boolean => code >= 0xd800 && code <= 0xdfff
  if (isHigh(x) !== isHigh(y)) return isHigh(x) ? 1 : -1
  return x - y
}

/** Start, stop and step of `[a:b:c]` on a sequence of this length, as Python clamps them. */
export function sliceRange(
  [start, stop, step]: readonly [number | null, number | null, number],
  length: number,
): [start: number, stop: number, step: number] {
  const [low, high] = step > 0 ? [0, length] : [-1, length - 1]
  const clamp = (index: number): number => Math.min(high, Math.max(low, index < 0 ? index + length : index))
  const first = start === null ? (step > 0 ? low : high) : clamp(start)
  const last = stop === null ? (step > 0 ? high : low) : clamp(stop)
  return [first, last, step]
}

// oxlint-disable-next-line no-control-regex -- Python splits lines at these separators too
const lineBreak = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/g

export function splitLines(text: string, keepEnds: boolean): string[] {
  const lines: string[] = []
  let start = 0
  for (const match of text.matchAll(lineBreak)) {
    const end = match.index + match[0].length
    lines.push(text.slice(start, keepEnds ? end : match.index))
    start = end
  }
  if (start < text.length) lines.push(text.slice(start))
  return lines
}
