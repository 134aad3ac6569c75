import { InvalidRequestError, resolvePoolingParams } from '@octavo/core'
import type { PoolingInfo, PoolingOutput, PoolingRequest, ServedModel } from '@octavo/core'

export const fakePoolingInfo: PoolingInfo = {
  dimensions: 4,
  matryoshkaDimensions: 'any',
  isNormalized: true,
  numLabels: null,
  labels: null,
  acceptsPairs: false,
  prompts: {},
}

export interface FakePrompt {
  readonly model: ServedModel
  readonly promptTokenIds: readonly number[]
  /** Which of them are of the second text. */
  readonly numPairTokens: number
}

/**
 * A token's embedding points where its id says, a prompt's is their sum. Label i has logit `shared tokens of the pair, else tokens - i`.
 */
export function fakePooling(
  request: PoolingRequest,
  { model, promptTokenIds, numPairTokens }: FakePrompt,
): PoolingOutput {
  const params = resolvePoolingParams(request.params, model)
  const info = model.pooling!
  if (request.pair != null && !info.acceptsPairs) throw new InvalidRequestError('takes no pairs', 'pair')
  const isWhole = params.task === 'embed' || params.task === 'classify'
  const isEmbedding = params.task === 'embed' || params.task === 'token_embed'
  const groups = isWhole ? [promptTokenIds] : promptTokenIds.map((id) => [id])
  const rows = groups.map((ids) => {
    if (isEmbedding) {
      const row = sumOf(ids, info.dimensions).slice(0, params.dimensions ?? info.dimensions)
      return params.useActivation ? normalized(row) : row
    }
    const first = promptTokenIds.slice(0, promptTokenIds.length - numPairTokens)
    const score =
      numPairTokens > 0 ? first.filter((id) => promptTokenIds.indexOf(id, first.length) >= 0).length : ids.length
    const logits = Array.from({ length: info.numLabels ?? 1 }, (_, i) => score - i)
    return params.useActivation ? probabilities(logits) : logits
  })
  return {
    requestId: request.requestId,
    promptTokenIds,
    numCachedTokens: Math.floor((promptTokenIds.length - 1) / 16) * 16,
    data: Float32Array.from(rows.flat()),
    shape: isWhole ? [rows[0]!.length] : [rows.length, rows[0]!.length],
  }
}

function sumOf(ids: readonly number[], length: number): number[] {
  return Array.from({ length }, (_, i) => ids.reduce((sum, id) => sum + (id % length === i ? 1 : 0.1), 0))
}

function normalized(row: readonly number[]): number[] {
  const norm = Math.hypot(...row)
  return row.map((x) => x / norm)
}

function probabilities(logits: readonly number[]): number[] {
  if (logits.length === 1) return [1 / (1 + Math.exp(-logits[0]!))]
  const weights = logits.map((x) => Math.exp(x - Math.max(...logits)))
  return weights.map((x) => x / weights.reduce((a, b) => a + b))
}
