import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { tidy } from '@tensorflow/tfjs-core'
import { createBackend } from '@octavo/core'
import { openCheckpoint } from '@octavo/core/loading'
import { getModelDefinition, parseModelConfig, singleRank } from '@octavo/core/model'
import { createQuantizationScheme, createSchemeMethods } from '@octavo/core/quantization'
import { onTestFinished } from 'vitest'
import { createBatches } from '../calibration/calibration-batch.ts'
import { someSequences } from '../model/fixture-layers.case.ts'

/** A folder that goes when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'octavo-quant-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Logits of every token of a few sequences, by the model as core reads it. */
export async function logitsOf(path: string): Promise<Float32Array> {
  const { pack } = await createBackend('wasm', { env: {} })
  const checkpoint = await openCheckpoint(path)
  const config = parseModelConfig(checkpoint.config, path)
  const definition = await getModelDefinition(config)
  const { quantization } = checkpoint
  const source = checkpoint.openWeights()
  try {
    const model = definition.load({
      config,
      source,
      pack,
      dtype: 'auto',
      communicator: singleRank,
      linearMethods: createSchemeMethods(quantization && createQuantizationScheme(quantization)),
    })
    const [batch] = createBatches(someSequences(config.vocabSize), 1024)
    const kv = pack.createKvStorage({ ...model.kvShape, dtype: 'float32', numBlocks: batch!.numBlocks, blockSize: 16 })
    const context = { metadata: batch!.metadata, kv, tokens: null }
    const output = tidy(() => model.computeLogits(model.forward(batch!.ids, context), context))
    const logits = output.dataSync<'float32'>()
    output.dispose()
    kv.dispose()
    model.dispose()
    return logits
  } finally {
    source.close()
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
