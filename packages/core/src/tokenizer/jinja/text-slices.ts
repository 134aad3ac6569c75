import type { Budget } from './budget.ts'
import { isSpace } from './text.ts'

/** Looked through in some milliseconds, whatever is done. */
const sliceLength = 65_536
/** How far back from its end a slice looks for white space to end after. */
const maxLookBack = 1024

/**
 * A long text in slices, so that the budget's clock is looked at while it is gone through. A slice ends after white space
 * where there is some, and never within a character.
 */
export function* slicesOf(text: string, budget: Budget): Iterable<string> {
  for (let start = 0; start < text.length;) {
    const end = sliceEnd(text, start)
    budget.read(end - start)
    yield text.slice(start, end)
    start = end
  }
}

function sliceEnd(text: string, start: number): number {
  const end = start + sliceLength
  if (end >= text.length) return text.length
  for (let at = end; at > end - maxLookBack; at--) if (isSpace(text.charCodeAt(at - 1))) return at
  return text.codePointAt(end - 1)! > 0xffff ? end - 1 : end
}

/** A long text changed slice by slice; the function is told what stands before the slice. */
export function mapSlices(text: string, budget: Budget, change: (slice: string, before: string) => string): string {
  if (text.length <= sliceLength) return change(text, '')
  const pieces: string[] = []
  let length = 0
  let before = ''
  for (const slice of slicesOf(text, budget)) {
    const piece = change(slice, before)
    length += piece.length
    budget.growth(length)
    pieces.push(piece)
    before = lastChar(slice)
  }
  return pieces.join('')
}

function lastChar(text: string): string {
  const isPair = text.length > 1 && text.codePointAt(text.length - 2)! > 0xffff
  return text.slice(isPair ? -2 : -1)
}
