import { TokenizerError } from '../../errors.ts'

/** `SplitDelimiterBehavior` of the library: what becomes of the matches. */
export type SplitBehavior = 'Removed' | 'Isolated' | 'MergedWithPrevious' | 'MergedWithNext' | 'Contiguous'

const behaviors: readonly string[] = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous']

export function parseBehavior(value: unknown): SplitBehavior {
  if (typeof value === 'string' && behaviors.includes(value)) return value as SplitBehavior
  throw new TokenizerError(`tokenizer.json: "behavior" must be one of ${behaviors.join(', ')}, found ${String(value)}.`)
}

export interface SplitOptions {
  readonly behavior: SplitBehavior
  /** What lies between the matches counts as matched, and the matches as what lies between. */
  readonly inverts: boolean
}

/** @param found start and end of each match, in a row; the result is the same of each piece, none empty */
export function splitAt(found: readonly number[], length: number, { behavior, inverts }: SplitOptions): number[] {
  const ranges: number[] = []
  const flags: boolean[] = []
  const add = (start: number, end: number, isMatch: boolean): void => {
    ranges.push(start, end)
    flags.push(isMatch !== inverts)
  }
  let at = 0
  for (let i = 0; i < found.length; i += 2) {
    if (found[i]! > at) add(at, found[i]!, false)
    add(found[i]!, found[i + 1]!, true)
    at = found[i + 1]!
  }
  if (at < length) add(at, length, false)
  return withoutEmpty(merged(ranges, flags, behavior))
}

function merged(ranges: readonly number[], flags: readonly boolean[], behavior: SplitBehavior): readonly number[] {
  switch (behavior) {
    case 'Isolated':
      return ranges
    case 'Removed':
      return ranges.filter((_, i) => !flags[i >> 1])
    case 'Contiguous':
      return joinedWhere(ranges, (i) => flags[i] === (flags[i - 1] ?? false))
    case 'MergedWithPrevious':
      return joinedWhere(ranges, (i) => flags[i]! && !(flags[i - 1] ?? false))
    case 'MergedWithNext':
      return joinedWhere(ranges, (i) => flags[i - 1]! && !(flags[i] ?? false))
  }
}

/** Joins piece i to the one before. */
function joinedWhere(ranges: readonly number[], isJoined: (i: number) => boolean): number[] {
  const result: number[] = []
  for (let i = 0; i < ranges.length / 2; i++) {
    if (i > 0 && isJoined(i)) result[result.length - 1] = ranges[2 * i + 1]!
    else result.push(ranges[2 * i]!, ranges[2 * i + 1]!)
  }
  return result
}

function withoutEmpty(ranges: readonly number[]): number[] {
  return ranges.filter((_, i) => ranges[i & ~1]! < ranges[i | 1]!)
}
