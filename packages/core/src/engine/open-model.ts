import type { BackendPack } from '../backends/backend-pack.ts'
import type { ModelConfig } from '../config/model-config.ts'
import { singleRank } from '../layers/communicator.ts'
import type { Checkpoint } from '../loading/checkpoint.ts'
import type { CausalLM, LayerRange } from '../models/model.ts'
import { assert } from '../util/assert.ts'
import { readCheckpointModel } from './checkpoint-model.ts'
import type { WorkerModules } from './worker-modules.ts'

export interface OpenModelOptions {
  readonly pack: BackendPack
  readonly workerModules?: Partial<WorkerModules>
}

/** A checkpoint without an engine, loaded in the parts that are asked for: what evaluates a model computes with it. */
export interface OpenedModel {
  readonly checkpoint: Checkpoint
  readonly config: ModelConfig
  /** All of it or a stage, weights as stored. The caller disposes it. Throws as `ModelDefinition.load`. */
  load(layers?: LayerRange): CausalLM
  /** One decoder layer alone: without the final norm and the head even where it is the last. */
  loadLayer(index: number): CausalLM
}

/** Reads config.json only. @param modelPath a folder or a .gguf file */
export async function openModel(
  modelPath: string,
  { pack, workerModules = {} }: OpenModelOptions,
): Promise<OpenedModel> {
  const { checkpoint, config, load } = await readCheckpointModel(modelPath, workerModules)
  const common = { pack, dtype: 'auto', communicator: singleRank } as const
  return {
    checkpoint,
    config,
    load: (layers) => load({ ...common, ...(layers && { layers }) }),
    loadLayer(index) {
      assert(index >= 0 && index < config.numLayers, `there is no layer ${index} of ${config.numLayers}`)
      // Of a model with one layer more, no stage that ends before it has norm and head.
      const longer = { ...config, numLayers: config.numLayers + 1 }
      return load({ ...common, config: longer, layers: { start: index, end: index + 1 } })
    },
  }
}
