import { type ModelConfig, parseModelConfig } from '../config/model-config.ts'
import type { PoolingConfig } from '../config/pooling-config.ts'
import { type Checkpoint, openCheckpoint } from '../loading/checkpoint.ts'
import type { WeightSource } from '../loading/weight-source.ts'
import type { CausalLM, LoadModelContext } from '../models/model.ts'
import { getModelDefinition } from '../models/registry.ts'
import { createQuantizationScheme } from '../quantization/create-quantization-scheme.ts'
import { createSchemeMethods } from '../quantization/grouped-method.ts'
import type { QuantizationScheme } from '../quantization/quantization-scheme.ts'
import { type PoolingOptions, resolvePooling } from './resolve-pooling.ts'
import { composeLinearMethods, type WorkerModules } from './worker-modules.ts'

export interface LoadOptions extends Omit<LoadModelContext, 'config' | 'source' | 'linearMethods' | 'pooling'> {
  /** In place of the checkpoint's own. */
  readonly config?: ModelConfig
  /** Looks at the weights before any is loaded, and throws what speaks against it. */
  readonly check?: (source: WeightSource, scheme: QuantizationScheme | null) => void
}

/** A checkpoint whose architecture and quantization are known. */
export interface CheckpointModel {
  readonly checkpoint: Checkpoint
  readonly config: ModelConfig
  readonly pooling: PoolingConfig
  /** Its weights as they are stored, or as the modules' linear methods have them. Throws as `ModelDefinition.load`. */
  load(options: LoadOptions): CausalLM
}

/** Reads config.json only. @param modelPath a folder or a .gguf file */
export async function readCheckpointModel(
  modelPath: string,
  workerModules: Partial<WorkerModules>,
  options: PoolingOptions = {},
): Promise<CheckpointModel> {
  const checkpoint = await openCheckpoint(modelPath)
  const config = parseModelConfig(checkpoint.config, checkpoint.path, workerModules.architectures)
  const pooling = resolvePooling(checkpoint, config, options)
  const definition = await getModelDefinition(config, workerModules.architectures)
  const scheme = checkpoint.quantization && createQuantizationScheme(checkpoint.quantization)
  return {
    checkpoint,
    config,
    pooling,
    load({ check, ...loadOptions }) {
      const source = checkpoint.openWeights()
      try {
        check?.(source, scheme)
        const context = { config, pooling, ...loadOptions, source }
        const linearMethods = composeLinearMethods(workerModules, {
          config: context.config,
          hfConfig: checkpoint.config,
          modelPath: checkpoint.path,
          communicator: loadOptions.communicator,
          linearMethods: createSchemeMethods(scheme),
        })
        return definition.load({ ...context, linearMethods })
      } finally {
        source.close()
      }
    },
  }
}
