import { OctavoError } from '@octavo/core'
import { QuantizationError } from '@octavo/core/quantization'
import { createActivationStore } from '../calibration/activation-store.ts'
import type { LayerPass } from '../decoder-layer.ts'
import type { SavedModule } from '../formats/checkpoint-format.ts'
import { sharedRowsOf } from '../formats/shared-rows.ts'
import { CheckpointLayer, noChanges } from '../model/checkpoint-layer.ts'
import type { LayerChanges } from '../model/checkpoint-layer.ts'
import type { LayerRuntime } from '../model/layer-runtime.ts'
import { LayerStream } from '../model/layer-stream.ts'
import { SingleModuleLayer } from '../model/single-module-layer.ts'
import { checkChanges } from './check-changes.ts'
import type { Checked } from './check-changes.ts'
import type { LayerRecord } from './layer-record.ts'
import type { ProgressMeter } from './progress.ts'
import { passName } from './pass-identity.ts'
import type { WorkDirectory } from './work-directory.ts'

export interface RunPassesOptions {
  readonly runtime: LayerRuntime
  readonly passes: readonly LayerPass[]
  readonly parts: RunParts
  readonly seed: number
  readonly work: WorkDirectory
  readonly maxActivationBytes: number
  readonly progress: ProgressMeter
  readonly signal: AbortSignal | null
  /** Whether the format can hold what was made; throws. */
  readonly check: (layer: LayerRecord) => void
}

/** What beside the decoder layers passes are run on. */
export interface RunParts {
  readonly embedding: boolean
  readonly head: boolean
}

type WorkedLayer = CheckpointLayer | SingleModuleLayer

/** The layers of a run by the names of their records, in order. */
export function layerNames(numLayers: number, { embedding, head }: RunParts): readonly string[] {
  const layers = Array.from({ length: numLayers }, (_, index) => recordName(index))
  return [...(embedding ? ['embedding'] : []), ...layers, ...(head ? ['head'] : [])]
}

export function recordName(index: number): string {
  return `layer-${String(index).padStart(4, '0')}`
}

/**
 * Runs the passes over layer after layer; each finished one is on the disk before the next begins. Nothing is computed for
 * layers that were finished before, unless a later one asks what it is given.
 */
export async function runPasses(options: RunPassesOptions): Promise<void> {
  const { runtime, parts, seed, work, maxActivationBytes } = options
  const { numLayers, hiddenSize } = runtime.model.config
  const changed = (name: string): LayerChanges => work.read(name)?.changes ?? noChanges
  const embedding = parts.embedding ? new SingleModuleLayer({ runtime, kind: 'embedding', seed, reach: refuse }) : null
  const stream = new LayerStream({
    runtime,
    createStore: () =>
      createActivationStore({
        batches: runtime.batches,
        hiddenSize,
        maxMemoryBytes: maxActivationBytes,
        file: work.activationFile,
      }),
    finished: (index) => changed(recordName(index)),
    ...(embedding && { embeddingMethods: embedding.methods }),
  })
  try {
    if (embedding !== null) {
      if (work.has('embedding')) embedding.restore(changed('embedding'))
      else await finishLayer(embedding, 'embedding', options)
    }
    for (let index = 0; index < numLayers; index++) {
      const name = recordName(index)
      if (work.has(name)) continue
      const layer = new CheckpointLayer({ runtime, index, seed: layerSeed(seed, index), reach: stream.reach })
      try {
        await finishLayer(layer, name, options)
        // The layer is in memory now; later it would have to be read again.
        if (stream.position === index && (index + 1 < numLayers || parts.head)) await stream.advance(layer)
      } finally {
        layer.dispose()
      }
    }
    if (parts.head && !work.has('head')) {
      const head = new SingleModuleLayer({
        runtime,
        kind: 'head',
        seed: layerSeed(seed, numLayers),
        reach: stream.reach,
      })
      try {
        await finishLayer(head, 'head', options)
      } finally {
        head.dispose()
      }
    }
  } finally {
    embedding?.dispose()
    stream.dispose()
  }
}

async function finishLayer(layer: WorkedLayer, record: string, options: RunPassesOptions): Promise<void> {
  const { passes, work, progress, signal, check } = options
  progress.beginLayer(layer.name)
  const checked: Checked = new WeakSet()
  for (const pass of passes) {
    signal?.throwIfAborted()
    await runPass(pass, layer)
    checkChanges(layer.changes, { layer: layer.name, pass: passName(pass), checked })
  }
  layer.round()
  const finished = recordOf(layer)
  // Before hours are spent on what can't be saved.
  check(finished)
  work.write(record, finished, (name) => layer.modules.find((module) => module.name === name)!)
  progress.endLayer(layer.name)
  // Timers and signals get their turn also where no pass waits for anything.
  await new Promise(setImmediate)
}

async function runPass(pass: LayerPass, layer: WorkedLayer): Promise<void> {
  try {
    await pass(layer)
  } catch (error) {
    if (OctavoError.isInstance(error) || (error instanceof DOMException && error.name === 'AbortError')) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new QuantizationError(`${passName(pass)} failed: ${reason}`, { layer: layer.name, cause: error })
  }
}

function recordOf(layer: WorkedLayer): LayerRecord {
  const { changes, modules } = layer
  const saved = modules.map(({ name, role, quantized }): SavedModule => {
    const spec = quantized && { format: quantized.format, rows: quantized.rows, cols: quantized.cols }
    return {
      name,
      role,
      weight: spec,
      inputActivations: changes.modules.get(name)?.inputActivations ?? null,
      sharedRows: quantized === null ? 1 : sharedRowsOf(quantized),
    }
  })
  return { modules: saved, changes }
}

/** Neighbouring seeds give unrelated layers. */
function layerSeed(seed: number, index: number): number {
  return (Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b)) >>> 0
}

function refuse(): never {
  throw new QuantizationError('nothing comes before the embedding')
}
