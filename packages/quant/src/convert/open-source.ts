import { openCheckpoint, WeightView } from '@octavo/core/loading'
import type { Checkpoint, WeightSource } from '@octavo/core/loading'
import { getModelDefinition, parseModelConfig, resolveNames, stageLayout } from '@octavo/core/model'
import type { DecoderDesign, LinearRole, ModelConfig } from '@octavo/core/model'
import { createQuantizationScheme, QuantizationError } from '@octavo/core/quantization'
import type { GroupedTensors, QuantizationScheme } from '@octavo/core/quantization'

/** A checkpoint of any layout that Octavo loads, its weights floats or quantized. */
export interface OpenedSource {
  readonly checkpoint: Checkpoint
  readonly config: ModelConfig
  readonly design: DecoderDesign
  readonly weights: WeightSource
  /** The tensors under the layers' names, each expert a module. */
  readonly view: WeightView
  /** `null`: no module is quantized, but for GGUF's blocks that the kernels have formats for. */
  readonly scheme: QuantizationScheme | null
}

/** The caller closes `weights`. */
export async function openSource(path: string): Promise<OpenedSource> {
  const checkpoint = await openCheckpoint(path)
  const config = parseModelConfig(checkpoint.config, checkpoint.path)
  const { design } = await getModelDefinition(config)
  if (design === undefined)
    throw new QuantizationError(
      `${checkpoint.path}: ${config.architecture} is a model of its own making, whose tensors are not known; a decoder made with defineDecoder can be converted`,
    )
  const scheme = checkpoint.quantization && createQuantizationScheme(checkpoint.quantization)
  const weights = checkpoint.openWeights()
  try {
    const decoder = design(config)
    const { numLayers } = config
    const names = resolveNames(weights, decoder, config)
    const layout = stageLayout(decoder, { names, layers: { start: 0, end: numLayers }, numLayers })
    const view = new WeightView(weights, layout)
    return { checkpoint, config, design: decoder, weights, view, scheme }
  } catch (error) {
    weights.close()
    throw error
  }
}

/** The modules that have a weight, in the order of their first tensors; what a scheme finds of each. */
export function listModules({ view, scheme, design }: OpenedSource): Map<string, GroupedTensors | null> {
  const modules = new Map<string, GroupedTensors | null>()
  for (const name of view.names()) {
    const module = name.slice(0, Math.max(0, name.lastIndexOf('.')))
    if (module === '' || modules.has(module)) continue
    modules.set(module, scheme?.find(view, module, roleOf(module, design)) ?? null)
  }
  return modules
}

export function roleOf(module: string, { embedding, lmHead }: DecoderDesign): LinearRole {
  if (module === embedding) return 'embedding'
  if (module === lmHead) return 'head'
  if (/\.experts\.\d+\./.test(module)) return 'expert'
  return /\.(router|block_sparse_moe\.gate|mlp\.gate)$/.test(module) ? 'router' : 'linear'
}

/** Whether a tensor of a quantized module is more than a part of its weight. */
export function isBesideWeight(name: string): boolean {
  return /\.(bias|(q|k|v|kv|prob_output)_scale)$/.test(name)
}
