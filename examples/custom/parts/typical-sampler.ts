// A sampler that takes the most typical token: it meets every row of logits in the engine's own step.
import { type CreateSampler, type Sampler } from '@octavo/core/engine'
import { typicalToken } from './typical-token.ts'

const sampler: Sampler = {
  sample: (logits, rows) =>
    rows.map(({ row }) => ({ tokenId: typicalToken(logSoftmax(logits.row(row))), logprobs: null })),
}

function logSoftmax(logits: Float32Array): Float32Array {
  const max = logits.reduce((largest, value) => Math.max(largest, value), -Infinity)
  const logSum = max + Math.log(logits.reduce((sum, value) => sum + Math.exp(value - max), 0))
  return logits.map((value) => value - logSum)
}

export const createSampler: CreateSampler = ({ logitsProcessors }) => {
  if (logitsProcessors.length > 0) throw new Error('the typical sampler runs no logits processors')
  return sampler
}
