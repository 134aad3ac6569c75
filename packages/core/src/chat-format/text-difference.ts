/** Where markup may be cut: never inside a tag or a bracketed word. */
const openTag = /(<[^<>\s]*|\[\/?[A-Z_]*)$/u
const closingTag = /^([^<>\s]*>|[A-Z_]+\])/u

/** How much of the beginning two texts share, in whole markup. */
export function commonPrefix(a: string, b: string): string {
  let length = 0
  while (length < a.length && a[length] === b[length]) length++
  const shared = a.slice(0, length)
  if (length === a.length && length === b.length) return shared
  return wholeEnd(shared, [a.slice(length), b.slice(length)])
}

/** How much of the end two texts share, in whole markup. */
export function commonSuffix(a: string, b: string): string {
  let length = 0
  while (length < a.length && a[a.length - 1 - length] === b[b.length - 1 - length]) length++
  const shared = a.slice(a.length - length)
  const cut = closingTag.exec(shared)
  const isInside = [a, b].some((text) => openTag.test(text.slice(0, text.length - length)))
  return cut !== null && isInside ? shared.slice(cut[0].length) : shared
}

function wholeEnd(shared: string, rests: readonly string[]): string {
  const open = openTag.exec(shared)
  return open !== null && rests.some((rest) => closingTag.test(rest)) ? shared.slice(0, open.index) : shared
}

export interface Seam {
  /** Ends what comes before. */
  readonly end: string
  readonly separator: string
  /** Begins what comes after. */
  readonly begin: string
}

/**
 * The text between two equal things, split: its beginning is what stands behind the last one, too, its end what stands
 * before the first one, too.
 */
export function splitSeam(between: string, { before, after }: { before: string; after: string }): Seam {
  const end = commonPrefix(between, after)
  const rest = between.slice(end.length)
  const begin = commonSuffix(rest, before)
  return { end, separator: rest.slice(0, rest.length - begin.length), begin }
}
