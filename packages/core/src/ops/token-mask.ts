import { assert } from '../util/assert.ts'

/** Words of a mask over so many tokens: bit `(mask[id >>> 5] >>> (id & 31)) & 1` is 1 where the token may be drawn. */
export function numMaskWords(vocabSize: number): number {
  return Math.ceil(vocabSize / 32)
}

/** Allows these tokens, which are inside the vocabulary, and no others. */
export function createTokenMask(tokenIds: readonly number[], vocabSize: number): Int32Array {
  const mask = new Int32Array(numMaskWords(vocabSize))
  for (const id of tokenIds) setAllowed(mask, id, true)
  return mask
}

/** A token beyond the mask's words is banned. */
export function isAllowed(mask: Int32Array, tokenId: number): boolean {
  return (((mask[tokenId >>> 5] ?? 0) >>> (tokenId & 31)) & 1) === 1
}

/** In place. */
export function setAllowed(mask: Int32Array, tokenId: number, allowed: boolean): void {
  const bit = 1 << (tokenId & 31)
  if (allowed) mask[tokenId >>> 5]! |= bit
  else mask[tokenId >>> 5]! &= ~bit
}

/** Allows what both allow; null allows all. */
export function intersectMasks(a: Int32Array | null, b: Int32Array | null): Int32Array | null {
  if (a === null || b === null) return a ?? b
  const [shorter, longer] = a.length < b.length ? [a, b] : [b, a]
  return shorter.map((word, i) => word & longer[i]!)
}

/** Bans whatever the mask does not allow, and what lies beyond it: in place. */
export function applyMask(logits: Float32Array, mask: Int32Array): void {
  assertMaskFits(mask, logits.length)
  for (let w = 0; w < mask.length; w++) {
    const word = mask[w]!
    if (word === -1) continue
    const start = 32 * w
    const end = Math.min(logits.length, start + 32)
    if (word === 0) logits.fill(-Infinity, start, end)
    else for (let id = start; id < end; id++) if (((word >>> (id - start)) & 1) === 0) logits[id] = -Infinity
  }
  logits.fill(-Infinity, Math.min(logits.length, 32 * mask.length))
}

/** A mask may be shorter than the logits are wide: models pad their vocabulary. */
export function assertMaskFits(mask: Int32Array, vocabSize: number): void {
  const most = numMaskWords(vocabSize)
  assert(mask.length > 0 && mask.length <= most, `a mask of ${mask.length} words over ${vocabSize} tokens`)
}
