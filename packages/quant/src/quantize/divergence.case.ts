import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { tidy } from '@tensorflow/tfjs-core'
import { createBackend } from '@octavo/core'
import { openCheckpoint } from '@octavo/core/loading'
import { getModelDefinition, parseModelConfig, singleRank } from '@octavo/core/model'
import { createQuantizationScheme, createSchemeMethods } from '@octavo/core/quantization'
import { createTokenizer } from '@octavo/core/tokenizer'
import { createBatches } from '../calibration/calibration-batch.ts'
import type { CalibrationSequence } from '../calibration/calibration-batch.ts'
import type { CalibrationSample } from '../calibration/calibration-options.ts'
import { readCalibration } from '../calibration/read-calibration.ts'

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
  const { pack } = await createBackend('wasm', { env: {} })
  const checkpoint = await openCheckpoint(path)
  const config = parseModelConfig(checkpoint.config, path)
  const definition = await getModelDefinition(config)
  const { quantization } = checkpoint
  const source = checkpoint.openWeights()
  const model = definition.load({
    config,
    source,
    pack,
    dtype: 'auto',
    communicator: singleRank,
    linearMethods: createSchemeMethods(quantization && createQuantizationScheme(quantization)),
  })
  try {
    return createBatches(sequences, 1024).flatMap(({ ids, metadata, numBlocks }) => {
      const kv = pack.createKvStorage({ ...model.kvShape, dtype: 'float32', numBlocks, blockSize: metadata.blockSize })
      const context = { metadata, kv, tokens: null }
      const output = tidy(() => model.computeLogits(model.forward(ids, context), context))
      const logits = output.dataSync<'float32'>()
      output.dispose()
      kv.dispose()
      const rows = Array.from({ length: ids.length }, (_, row) => row * config.vocabSize)
      return rows.map((start) => logSoftmax(logits.subarray(start, start + config.vocabSize)))
    })
  } finally {
    model.dispose()
    source.close()
  }
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
