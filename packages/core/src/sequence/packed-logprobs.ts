import type { TokenLogprobs } from './outputs.ts'

/**
 * Logprobs of several tokens as one list of numbers: they cross threads, and wait for a slow reader, at a fraction of what objects cost.
 * Per token the number of its entries, then each one's id, logprob and rank, the chosen token first; no entry: no logprobs.
 */
export type PackedLogprobs = Float64Array

export const numbersPerEntry = 3

export function packLogprobs(tokens: readonly (TokenLogprobs | null)[]): PackedLogprobs {
  const length = tokens.reduce((total, entry) => total + 1 + numbersPerEntry * numEntries(entry), 0)
  const packed = new Float64Array(length)
  let at = 0
  for (const token of tokens) {
    packed[at++] = numEntries(token)
    if (token === null) continue
    for (let i = -1; i < token.top.length; i++) {
      const { tokenId, logprob, rank } = i < 0 ? token.chosen : token.top[i]!
      packed[at] = tokenId
      packed[at + 1] = logprob
      packed[at + 2] = rank
      at += numbersPerEntry
    }
  }
  return packed
}

/** Where the token ends that begins at `at`. */
export function tokenEnd(packed: PackedLogprobs, at: number): number {
  return at + 1 + numbersPerEntry * packed[at]!
}

/** @returns what `packLogprobs` was given */
export function unpackLogprobs(packed: PackedLogprobs): (TokenLogprobs | null)[] {
  const tokens: (TokenLogprobs | null)[] = []
  for (let at = 0; at < packed.length; at = tokenEnd(packed, at)) tokens.push(unpackToken(packed, at))
  return tokens
}

export function unpackToken(packed: PackedLogprobs, at: number): TokenLogprobs | null {
  const entries = Array.from({ length: packed[at]! }, (_, i) => {
    const from = at + 1 + numbersPerEntry * i
    return { tokenId: packed[from]!, logprob: packed[from + 1]!, rank: packed[from + 2]! }
  })
  const [chosen, ...top] = entries
  return chosen === undefined ? null : { chosen, top }
}

function numEntries(token: TokenLogprobs | null): number {
  return token === null ? 0 : 1 + token.top.length
}
