import { WeightView } from '@octavo/core/loading'
import type { Checkpoint, WeightSource } from '@octavo/core/loading'
import { getModelDefinition, parseModelConfig, resolveNames, stageLayout } from '@octavo/core/model'
import type { DecoderDesign, ModelConfig, ModelDefinition, WeightNames } from '@octavo/core/model'
import { QuantizationError } from '@octavo/core/quantization'

/** A decoder's tensors, known by its design. */
export interface OpenedDecoder {
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
 * The caller closes `source`.
 *
 * @throws QuantizationError for models that have no layers that are known
 */
export async function openDecoder(checkpoint: Checkpoint): Promise<OpenedDecoder> {
  const config = parseModelConfig(checkpoint.config, checkpoint.path)
  const definition = await getModelDefinition(config)
  const design = definition.design?.(config)
  if (design === undefined)
    throw new QuantizationError(
      `${checkpoint.path}: ${config.architecture} is a model of its own making, whose layers and tensors are not known; a decoder made with defineDecoder has a design that says them`,
    )
  const source = checkpoint.openWeights()
  try {
    const names = resolveNames(source, design, config)
    const { numLayers } = config
    const layout = stageLayout(design, { names, layers: { start: 0, end: numLayers }, numLayers })
    return { checkpoint, config, definition, design, names, source, view: new WeightView(source, layout) }
  } catch (error) {
    source.close()
    throw error
  }
}
