import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { openCheckpoint, WeightView } from '@octavo/core/loading'
import type { Checkpoint, WeightSource } from '@octavo/core/loading'
import { getModelDefinition, parseModelConfig, resolveNames, stageLayout } from '@octavo/core/model'
import type { DecoderDesign, ModelConfig, ModelDefinition, WeightNames } from '@octavo/core/model'
import { QuantizationError } from '@octavo/core/quantization'

/** A checkpoint's parts, as what works on it layer by layer needs them. */
export interface OpenedModel {
  readonly path: string
  readonly checkpoint: Checkpoint
  readonly config: ModelConfig
  readonly definition: ModelDefinition
  readonly design: DecoderDesign
  readonly names: WeightNames
  /** The tensors under their stored names. */
  readonly source: WeightSource
  /** The tensors under the layers' names, each expert a module, with the orientation of matrices. */
  readonly view: WeightView
}

/**
 * Opens a folder in Hugging Face's layout whose weights are floats; the caller closes `source`.
 *
 * @throws QuantizationError for GGUF files, for what is quantized already, and for models that have no layers to work on
 */
export async function openModel(path: string): Promise<OpenedModel> {
  const checkpoint = await openCheckpoint(path)
  refuseGguf(checkpoint)
  refuseQuantized(checkpoint)
  const config = parseModelConfig(checkpoint.config, checkpoint.path)
  const definition = await getModelDefinition(config)
  if (definition.design === undefined) {
    throw new QuantizationError(
      `${checkpoint.path}: ${config.architecture} is a model of its own making, whose layers can't be taken one by one; a decoder made with defineDecoder can`,
    )
  }
  const design = definition.design(config)
  const source = checkpoint.openWeights()
  try {
    const names = resolveNames(source, design, config)
    const { numLayers } = config
    const view = new WeightView(source, stageLayout(design, { names, layers: { start: 0, end: numLayers }, numLayers }))
    return { path: checkpoint.path, checkpoint, config, definition, design, names, source, view }
  } catch (error) {
    source.close()
    throw error
  }
}

function refuseGguf({ path }: Checkpoint): void {
  if (statSync(path).isDirectory() && existsSync(join(path, 'config.json'))) return
  throw new QuantizationError(
    `${path} is a GGUF file; quantize the model's safetensors checkpoint instead, from which a GGUF file can be written too`,
  )
}

function refuseQuantized({ path, quantization }: Checkpoint): void {
  if (quantization === null) return
  throw new QuantizationError(
    `${path} is quantized already (${quantization.file} says so). Quantize the original checkpoint: what rounding has lost stays lost. To change its format, convert it`,
  )
}
