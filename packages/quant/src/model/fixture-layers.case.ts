import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createBackend } from '@octavo/core'
import type { BackendPack } from '@octavo/core/backend'
import { createActivationStore } from '../calibration/activation-store.ts'
import type { CalibrationBatch, CalibrationSequence } from '../calibration/calibration-batch.ts'
import { createBatches } from '../calibration/calibration-batch.ts'
import { CheckpointLayer } from './checkpoint-layer.ts'
import { LayerRuntime } from './layer-runtime.ts'
import { LayerStream } from './layer-stream.ts'
import type { OpenedDecoder } from './open-decoder.ts'
import { openFloatDecoder } from './open-float-decoder.ts'

const folder = fileURLToPath(new URL('../../../../fixtures/models', import.meta.url))

/** Golden models of all families of decoders, tiny and random: those that write, and none that answer with vectors or classes. */
export const fixtureModels: readonly string[] = readdirSync(folder).filter((name) =>
  /^(?!.*-(embed|embedding|reranker|tokens|classify|seqcls)$)/.test(name),
)

export function fixturePath(name: string): string {
  return join(folder, name)
}

export interface FixtureLayers {
  readonly model: OpenedDecoder
  readonly pack: BackendPack
  readonly batches: readonly CalibrationBatch[]
  readonly stream: LayerStream
  readonly layers: readonly CheckpointLayer[]
  dispose(): void
}

export interface OpenFixtureOptions {
  /** Default: three of 20 to 40 tokens, the second one's first five masked. */
  readonly sequences?: readonly CalibrationSequence[]
  readonly maxBatchTokens?: number
  /** Default 'wasm'. */
  readonly backend?: string
}

/** All layers of a fixture at once, over a few random tokens: for tests of passes. The caller disposes. */
export async function openFixtureLayers(name: string, options: OpenFixtureOptions = {}): Promise<FixtureLayers> {
  const { backend = 'wasm', maxBatchTokens = 64 } = options
  const { pack } = await createBackend(backend, { env: {} })
  const model = await openFloatDecoder(fixturePath(name))
  const batches = createBatches(options.sequences ?? someSequences(model.config.vocabSize), maxBatchTokens)
  const runtime = new LayerRuntime({ model, pack, batches })
  const layers: CheckpointLayer[] = []
  const stream = new LayerStream({
    runtime,
    createStore: () =>
      createActivationStore({ batches, hiddenSize: model.config.hiddenSize, maxMemoryBytes: Infinity, file: '' }),
    finished: (index) => layers[index]!.changes,
  })
  for (let index = 0; index < model.config.numLayers; index++)
    layers.push(new CheckpointLayer({ runtime, index, seed: index, reach: stream.reach }))
  return {
    model,
    pack,
    batches,
    stream,
    layers,
    dispose() {
      for (const layer of layers) layer.dispose()
      stream.dispose()
      runtime.dispose()
      model.source.close()
    },
  }
}

export function someSequences(vocabSize: number): CalibrationSequence[] {
  return [20, 40, 33].map((length, s) => ({
    ids: Int32Array.from({ length }, (_, i) => (i * i * 31 + i * 17 + s * 101 + 7) % vocabSize),
    mask: s === 1 ? Uint8Array.from({ length }, (_, i) => (i < 5 ? 0 : 1)) : null,
  }))
}
