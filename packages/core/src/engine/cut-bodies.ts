/** Where a text's own tokens lie in a prompt, between special ones. */
interface Span {
  readonly start: number
  readonly length: number
}

export interface CutOptions {
  /** How many tokens stay, special ones included. */
  readonly keep: number
  /** Which end of a text is cut. */
  readonly side: 'left' | 'right'
}

/**
 * Which tokens of a prompt truncation keeps: special tokens stay where the texts lose theirs, of two texts the longer one
 * first (Hugging Face's `longest_first`), down to equal lengths.
 *
 * @param bodies the tokens of the one text, or of both, without special ones
 * @returns their positions; where that many cannot be cut from the texts, those of one end of the prompt
 */
export function keptPositions(
  tokenIds: readonly number[],
  bodies: readonly (readonly number[])[],
  { keep, side }: CutOptions,
): number[] {
  const all = tokenIds.map((_, i) => i)
  if (tokenIds.length <= keep) return all
  const spans = findSpans(tokenIds, bodies)
  const room = keep - (tokenIds.length - bodies.reduce((total, { length }) => total + length, 0))
  if (spans === null || room < 0) return side === 'left' ? all.slice(-keep) : all.slice(0, keep)
  const lengths = shareRoom(spans, room)
  const isCut = (position: number): boolean =>
    spans.some(({ start, length }, i) => {
      const at = position - start
      if (at < 0 || at >= length) return false
      return side === 'left' ? at < length - lengths[i]! : at >= lengths[i]!
    })
  return all.filter((position) => !isCut(position))
}

/** How many tokens each text keeps. */
function shareRoom(spans: readonly Span[], room: number): number[] {
  const [first, second] = spans
  if (first === undefined || second === undefined) return [room]
  const isFirstShorter = first.length <= second.length
  const shorter = Math.min(isFirstShorter ? first.length : second.length, Math.floor(room / 2))
  return isFirstShorter ? [shorter, room - shorter] : [room - shorter, shorter]
}

/** `null` where the prompt does not have the texts' tokens as they are alone. */
function findSpans(tokenIds: readonly number[], bodies: readonly (readonly number[])[]): Span[] | null {
  const spans: Span[] = []
  let from = 0
  for (const body of bodies) {
    const start = indexOf(tokenIds, body, from)
    if (start === null) return null
    spans.push({ start, length: body.length })
    from = start + body.length
  }
  return spans
}

function indexOf(tokenIds: readonly number[], part: readonly number[], from: number): number | null {
  for (let start = from; start + part.length <= tokenIds.length; start++)
    if (part.every((id, i) => tokenIds[start + i] === id)) return start
  return null
}
