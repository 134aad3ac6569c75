/** Sorted, disjoint, not touching: [first, last] of Unicode scalar values. */
export type CodePoints = readonly (readonly [first: number, last: number])[]

/** Every character that UTF-8 can write: surrogates are none. */
export const allCodePoints: CodePoints = [
  [0, 0xd7ff],
  [0xe000, 0x10ffff],
]

export function unionOf(sets: readonly CodePoints[]): CodePoints {
  const ranges = sets.flat().sort((a, b) => a[0] - b[0])
  const merged: [number, number][] = []
  for (const [first, last] of ranges) {
    const previous = merged.at(-1)
    if (previous !== undefined && first <= previous[1] + 1) previous[1] = Math.max(previous[1], last)
    else merged.push([first, last])
  }
  return merged
}

export function intersectionOf(a: CodePoints, b: CodePoints): CodePoints {
  const result: [number, number][] = []
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const first = Math.max(a[i]![0], b[j]![0])
    const last = Math.min(a[i]![1], b[j]![1])
    if (first <= last) result.push([first, last])
    if (a[i]![1] < b[j]![1]) i++
    else j++
  }
  return result
}

export function complementOf(set: CodePoints): CodePoints {
  const gaps: [number, number][] = []
  let next = 0
  for (const [first, last] of set) {
    if (first > next) gaps.push([next, first - 1])
    next = last + 1
  }
  if (next <= 0x10ffff) gaps.push([next, 0x10ffff])
  return intersectionOf(gaps, allCodePoints)
}

const utf8Limits = [0x7f, 0x7ff, 0xffff, 0x10ffff]

/** The UTF-8 of a set as sequences of byte ranges. */
export function utf8Sequences(set: CodePoints): readonly CodePoints[] {
  return set.flatMap(([first, last]) => splitRange(first, last))
}

function splitRange(first: number, last: number): CodePoints[] {
  for (const limit of utf8Limits) {
    if (first <= limit && last > limit) return [...splitRange(first, limit), ...splitRange(limit + 1, last)]
  }
  if (last <= 0x7f) return [[[first, last]]]
  // Cut where the bytes behind the first differing one do not run over their whole range 80..bf.
  for (const bits of [6, 12, 18]) {
    const mask = (1 << bits) - 1
    if ((first & ~mask) === (last & ~mask)) continue
    if ((first & mask) !== 0) return [...splitRange(first, first | mask), ...splitRange((first | mask) + 1, last)]
    if ((last & mask) !== mask) return [...splitRange(first, (last & ~mask) - 1), ...splitRange(last & ~mask, last)]
  }
  const from = utf8Bytes(first)
  const to = utf8Bytes(last)
  return [from.map((byte, index) => [byte, to[index]!])]
}

function utf8Bytes(codePoint: number): number[] {
  return [...new TextEncoder().encode(String.fromCodePoint(codePoint))]
}
