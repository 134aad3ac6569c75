import { complementOf, unionOf, type CodePoints } from '../automaton/code-points.ts'

const digits: CodePoints = [[0x30, 0x39]]
const word: CodePoints = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]
/** ECMAScript's WhiteSpace and LineTerminator. */
const space: CodePoints = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
]

/** `.` without the flag s. */
export const anyButLineEnds = complementOf([
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
])

export const classEscapes: ReadonlyMap<string, CodePoints> = new Map([
  ['d', digits],
  ['D', complementOf(digits)],
  ['w', word],
  ['W', complementOf(word)],
  ['s', space],
  ['S', complementOf(space)],
])

const maxCachedProperties = 32
const properties = new Map<string, CodePoints>()

/** The characters of `\p{name}`, or null where JavaScript knows no such property. */
export function tryUnicodeProperty(name: string): CodePoints | null {
  if (!/^[A-Za-z_]+(?:=[A-Za-z_0-9]+)?$/.test(name)) return null
  const known = properties.get(name)
  if (known !== undefined) return known
  let matcher: RegExp
  try {
    matcher = new RegExp(`^\\p{${name}}$`, 'u')
  } catch {
    return null
  }
  const ranges: [number, number][] = []
  for (let codePoint = 0; codePoint <= 0x10ffff; codePoint++) {
    if (codePoint === 0xd800) codePoint = 0xe000
    if (!matcher.test(String.fromCodePoint(codePoint))) continue
    const previous = ranges.at(-1)
    if (previous !== undefined && previous[1] === codePoint - 1) previous[1] = codePoint
    else ranges.push([codePoint, codePoint])
  }
  if (properties.size >= maxCachedProperties) properties.clear()
  const set = unionOf([ranges])
  properties.set(name, set)
  return set
}
