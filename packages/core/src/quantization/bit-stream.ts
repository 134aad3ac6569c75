/** Codes of a few bits in 32-bit words: code `i` at bit `i * bits`, lowest bit first, across words. */
export interface BitStream {
  readonly words: Uint32Array
  /** Index of its first word, and from one of its words to the next. */
  readonly start: number
  readonly step: number
  readonly bits: number
}

/** Calls back with each of the first `count` codes. */
export function readCodes(
  { words, start, step, bits }: BitStream,
  count: number,
  take: (code: number, i: number) => void,
): void {
  const mask = 2 ** bits - 1
  for (let i = 0, bit = 0; i < count; i++, bit += bits) {
    const at = start + (bit >>> 5) * step
    const shift = bit & 31
    const low = words[at]! >>> shift
    take((shift + bits > 32 ? low | (words[at + step]! << (32 - shift)) : low) & mask, i)
  }
}

/** Puts `count` codes where zeros are. */
export function writeCodes(
  { words, start, step, bits }: BitStream,
  count: number,
  codeAt: (i: number) => number,
): void {
  for (let i = 0, bit = 0; i < count; i++, bit += bits) {
    const at = start + (bit >>> 5) * step
    const shift = bit & 31
    const code = codeAt(i)
    words[at] = words[at]! | (code << shift)
    if (shift + bits > 32) words[at + step] = words[at + step]! | (code >>> (32 - shift))
  }
}
