import type { TurnQueue } from '@octavo/core'
import { mapInTurns } from '../map-in-turns.ts'

const space = 0x20
/** How far a token may lie from where it should, in a text of which tokenizing dropped something: a few bytes. */
const maxGap = 32

export interface PromptOffsets {
  readonly offsets: readonly number[]
  /** Of the text; those of an output that follows begin there. */
  readonly length: number
}

/**
 * Where the tokens of a prompt, given by their bytes, begin in the text that is echoed: what is not in it (special
 * tokens, a space that SentencePiece puts in front) has no length. Offsets count code points, as in Python, where most
 * readers of them live; of a character in several tokens the first has it.
 */
export async function promptOffsets(
  text: string,
  tokens: readonly (readonly number[])[],
  turns: TurnQueue,
): Promise<PromptOffsets> {
  const bytes = Buffer.from(text)
  const countTo = codePointCounter(bytes)
  let at = 0
  const offsetOf = (token: readonly number[]): number => {
    const found = findToken(bytes, Buffer.from(token), at)
    if (found !== null) at = found.end
    return countTo(found?.start ?? at)
  }
  const offsets = await mapInTurns(tokens, offsetOf, { turns })
  return { offsets, length: countTo(bytes.length) }
}

/** Here, as it stands or without a space in front; else a little further on, where more than a space says that it is this one. */
function findToken(text: Buffer, token: Buffer, at: number): { start: number; end: number } | null {
  const bare = token[0] === space ? token.subarray(1) : token
  const parts = [token, bare].filter(({ length }) => length > 0)
  const here = parts.find((part) => text.subarray(at, at + part.length).equals(part))
  if (here !== undefined) return { start: at, end: at + here.length }
  if (bare.length === 0) return null
  for (const part of parts) {
    const start = text.subarray(at, at + maxGap + part.length).indexOf(part)
    if (start >= 0) return { start: at + start, end: at + start + part.length }
  }
  return null
}

/** Counts the characters that begin before a byte; the bytes come in rising order. */
function codePointCounter(bytes: Buffer): (end: number) => number {
  let at = 0
  let count = 0
  return (end) => {
    for (; at < end; at++) if (isLeadingByte(bytes[at]!)) count++
    return count
  }
}

/** In UTF-8 all bytes of a character but its first are 10xxxxxx. */
function isLeadingByte(byte: number): boolean {
  return (byte & 0xc0) !== 0x80
}
