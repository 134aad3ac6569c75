import type { Sequence } from '../sequence/sequence.ts'

/** All of the prompt but its last token, whose logits each sample needs. */
export function numForkedTokens(sequence: Sequence): number {
  return sequence.numPromptTokens - 1
}

/** Samples of one request have one prompt and one salt. */
export function canShareKv({ request: leader }: Sequence, { request: child }: Sequence): boolean {
  if (leader.cacheSalt !== child.cacheSalt || leader.promptTokenIds.length !== child.promptTokenIds.length) return false
  return child.promptTokenIds.every((tokenId, i) => tokenId === leader.promptTokenIds[i])
}
