import { tensor2d } from '@tensorflow/tfjs-core'
import { applyMask, isAllowed } from '../ops/token-mask.ts'
import { Logits } from './logits.ts'
import { type Sampler, type SamplerResult, type SamplerRow, TokenSampler } from './sampler.ts'

/** Draws so that no grammar is broken, whoever draws: a sampler from outside sees only what may come. */
export function sampleWithin(sampler: Sampler, logits: Logits, rows: readonly SamplerRow[]): SamplerResult[] {
  if (sampler instanceof TokenSampler || rows.every(({ state }) => state.grammarMask === null))
    return sampler.sample(logits, rows)
  const masked = maskLogits(logits, rows)
  const results = sampler.sample(masked, rows)
  masked.tensor.dispose()
  return results.map((result, i) => (isWithin(result, rows[i]) ? result : { error: bannedTokenError() }))
}

function maskLogits(logits: Logits, rows: readonly SamplerRow[]): Logits {
  const [numRows, vocabSize] = logits.tensor.shape
  const values = new Float32Array(numRows * vocabSize)
  for (let row = 0; row < numRows; row++) values.set(logits.row(row), row * vocabSize)
  for (const { row, state } of rows)
    if (state.grammarMask !== null)
      applyMask(values.subarray(row * vocabSize, (row + 1) * vocabSize), state.grammarMask)
  return new Logits(tensor2d(values, [numRows, vocabSize]))
}

function isWithin(result: SamplerResult, row: SamplerRow | undefined): boolean {
  const mask = row?.state.grammarMask ?? null
  return mask === null || 'error' in result || isAllowed(mask, result.tokenId)
}

function bannedTokenError(): Error {
  return new Error(
    "The sampler drew a token that the request's grammar does not allow; draw only where logits are above -Infinity.",
  )
}
