import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { openCheckpoint } from '@octavo/core/loading'
import { parseModelConfig } from '@octavo/core/model'
import { createTokenizer } from '@octavo/core/tokenizer'
import type { CalibrationSequence } from '../calibration/calibration-batch.ts'
import type { CalibrationSample } from '../calibration/calibration-options.ts'
import { readCalibration } from '../calibration/read-calibration.ts'
import { batchLogits } from '../pipeline/saved-models.case.ts'

export const tinyModel = fileURLToPath(new URL('../../../core/models/octavo-tiny', import.meta.url))
const evalFolder = new URL('../../../../fixtures/octavo-tiny-eval/', import.meta.url)
export const tinyCalibration = fileURLToPath(new URL('calibration.jsonl', evalFolder))

/** Conversations that calibration has not seen, with their answers. */
export async function heldOutSequences(count: number): Promise<readonly CalibrationSequence[]> {
  const data = ['dialogue', 'extraction', 'qa', 'summarization', 'tools', 'translation'].flatMap((name) =>
    readFileSync(new URL(`${name}.jsonl`, evalFolder), 'utf8')
      .trim()
      .split('\n')
      .slice(0, count / 6)
      .map((line) => JSON.parse(line) as CalibrationSample),
  )
  const checkpoint = await openCheckpoint(tinyModel)
  const tokenizer = createTokenizer(checkpoint.readTokenizer())
  const config = parseModelConfig(checkpoint.config, tinyModel)
  return readCalibration({ data, numSamples: count }, { tokenizer, config, seed: 0 }).sequences
}

/** Log-probabilities of all tokens after each one. */
export async function logProbabilities(
  path: string,
  sequences: readonly CalibrationSequence[],
): Promise<Float64Array[]> {
  let vocabSize = 0
  const batches = await batchLogits(path, (config) => {
    vocabSize = config.vocabSize
    return sequences
  })
  return batches.flatMap((logits) =>
    Array.from({ length: logits.length / vocabSize }, (_, row) =>
      logSoftmax(logits.subarray(row * vocabSize, (row + 1) * vocabSize)),
    ),
  )
}

function logSoftmax(logits: Float32Array): Float64Array {
  const max = logits.reduce((a, b) => Math.max(a, b), -Infinity)
  const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - max), 0))
  return Float64Array.from(logits, (logit) => logit - max - total)
}

/** Mean Kullback-Leibler divergence per token, in nats. */
export function divergence(original: readonly Float64Array[], other: readonly Float64Array[]): number {
  let sum = 0
  original.forEach((row, token) => row.forEach((logp, id) => (sum += Math.exp(logp) * (logp - other[token]![id]!))))
  return sum / original.length
}
