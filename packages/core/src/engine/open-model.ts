import type { BackendPack } from '../backends/backend-pack.ts'
import { type ModelConfig, parseModelConfig } from '../config/model-config.ts'
import { singleRank } from '../layers/communicator.ts'
import { type Checkpoint, openCheckpoint } from '../loading/checkpoint.ts'
import type { CausalLM, LayerRange } from '../models/model.ts'
import { getModelDefinition } from '../models/registry.ts'
import { createSchemeMethods } from '../quantization/grouped-method.ts'
import { createQuantizationScheme } from '../quantization/create-quantization-scheme.ts'
import { assert } from '../util/assert.ts'
import { composeLinearMethods, type WorkerModules } from './worker-modules.ts'

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
  const checkpoint = await openCheckpoint(modelPath)
  const config = parseModelConfig(checkpoint.config, checkpoint.path, workerModules.architectures)
  const definition = await getModelDefinition(config, workerModules.architectures)
  const scheme = checkpoint.quantization && createQuantizationScheme(checkpoint.quantization)
  const load = (modelConfig: ModelConfig, layers?: LayerRange): CausalLM => {
    const source = checkpoint.openWeights()
    const context = { config: modelConfig, hfConfig: checkpoint.config, modelPath: checkpoint.path }
    try {
      return definition.load({
        config: modelConfig,
        source,
        pack,
        dtype: 'auto',
        communicator: singleRank,
        linearMethods: composeLinearMethods(workerModules, {
          ...context,
          communicator: singleRank,
          linearMethods: createSchemeMethods(scheme),
        }),
        ...(layers && { layers }),
      })
    } finally {
      source.close()
    }
  }
  return {
    checkpoint,
    config,
    load: (layers) => load(config, layers),
    loadLayer(index) {
      assert(index >= 0 && index < config.numLayers, `there is no layer ${index} of ${config.numLayers}`)
      // Of a model with one layer more, no stage that ends before it has norm and head.
      return load({ ...config, numLayers: config.numLayers + 1 }, { start: index, end: index + 1 })
    },
  }
}
