import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tidy } from '@tensorflow/tfjs-core'
import { createBackend } from '@octavo/core'
import { openModel } from '@octavo/core/model'
import type { ModelConfig } from '@octavo/core/model'
import { onTestFinished } from 'vitest'
import { createBatches } from '../calibration/calibration-batch.ts'
import type { CalibrationSequence } from '../calibration/calibration-batch.ts'
import { someSequences } from '../model/fixture-layers.case.ts'

/** A folder that goes when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'octavo-quant-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Logits of every token of a few sequences, by the model as core reads it. */
export async function logitsOf(path: string): Promise<Float32Array> {
  const [logits] = await batchLogits(path, ({ vocabSize }) => someSequences(vocabSize))
  return logits!
}

/** Logits `[numTokens * vocabSize]` of each batch of the sequences. */
export async function batchLogits(
  path: string,
  sequencesFor: (config: ModelConfig) => readonly CalibrationSequence[],
): Promise<Float32Array[]> {
  const { pack } = await createBackend('wasm', { env: {} })
  const opened = await openModel(path, { pack })
  const model = opened.load()
  try {
    return createBatches(sequencesFor(opened.config), 1024).map(({ ids, metadata, numBlocks }) => {
      const kv = pack.createKvStorage({ ...model.kvShape, dtype: 'float32', numBlocks, blockSize: metadata.blockSize })
      const context = { metadata, kv, tokens: null }
      const output = tidy(() => model.computeLogits(model.forward(ids, context), context))
      const logits = output.dataSync<'float32'>()
      output.dispose()
      kv.dispose()
      return logits
    })
  } finally {
    model.dispose()
  }
}

/** All files below a folder with their bytes in hex: two folders are the same where this is. */
export function readFolder(folder: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort()
      .map((file) => [file.slice(folder.length + 1), readFileSync(file).toString('hex')]),
  )
}
