import { availableMemory, type KvDType } from '@octavo/core'
import { allKvDTypes, kvBytesPerToken } from '@octavo/core/backend'
import { type Checkpoint, openCheckpoint, type WeightSource, WeightView } from '@octavo/core/loading'
import { type ModelConfig, parseModelConfig, type PoolingConfig, resolvePooling } from '@octavo/core/model'
import { createQuantizationScheme, type QuantizationScheme } from '@octavo/core/quantization'
import { describeModules, type ModuleTensors } from './module-tensors.ts'

/** Parameters and bytes of what is alike. */
export interface Share {
  readonly name: string
  readonly numParameters: number
  readonly bytes: number
}

/** What a checkpoint's headers say: nothing is loaded. */
export interface ModelInspection {
  readonly path: string
  readonly architecture: string
  readonly numLayers: number
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly numHeads: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly vocabSize: number
  readonly experts: { readonly numExperts: number; readonly numExpertsPerToken: number } | null
  /** `quant_method` of the checkpoint; `null` where its configuration names none. */
  readonly quantization: string | null
  readonly numParameters: number
  /** Of all tensors, as stored: about what they take in memory. */
  readonly bytes: number
  readonly parts: readonly Share[]
  readonly formats: readonly Share[]
  /** What it makes of a text, beside or in place of the next token. */
  readonly pooling: PoolingConfig
  /** The longest context of the model. */
  readonly maxPositions: number
  /** 0 for encoders. */
  readonly kvBytesPerToken: Readonly<Record<KvDType, number>>
  readonly memory: MemoryFit
}

/** Whether it runs here now. */
export interface MemoryFit {
  readonly availableBytes: number
  readonly fits: boolean
  /** Tokens of one context that fit beside the weights, with keys and values in float32. */
  readonly maxContextTokens: number
}

/** Beside weights and cache: activations, and the rest of the process. */
const reservedBytes = 128 * 1024 ** 2
/** The engine refuses a model that holds less. */
const minContextTokens = 256

/**
 * Reads config.json and the headers of the weight files.
 * @param path a folder or a .gguf file
 * @throws CheckpointError, UnsupportedModelError
 */
export async function inspectModel(path: string, availableBytes = availableMemory()): Promise<ModelInspection> {
  const checkpoint = await openCheckpoint(path)
  const config = parseModelConfig(checkpoint.config, checkpoint.path)
  const source = checkpoint.openWeights()
  try {
    const modules = describeModules(new WeightView(source), schemeOf(checkpoint))
    return describe(modules, { checkpoint, config, source, availableBytes })
  } finally {
    source.close()
  }
}

function schemeOf({ quantization }: Checkpoint): QuantizationScheme | null {
  return quantization && createQuantizationScheme(quantization)
}

interface Described {
  readonly checkpoint: Checkpoint
  readonly config: ModelConfig
  readonly source: WeightSource
  readonly availableBytes: number
}

function describe(
  modules: readonly ModuleTensors[],
  { checkpoint, config, availableBytes }: Described,
): ModelInspection {
  const { moe } = config
  const bytes = sumOf(modules, (module) => module.bytes)
  const pooling = resolvePooling(checkpoint, config)
  const numLayers = pooling.needsWholePrompts ? 0 : config.numLayers
  const kvBytes = Object.fromEntries(
    allKvDTypes.map((dtype) => [dtype, kvBytesPerToken({ ...config, numLayers, dtype })]),
  )
  return {
    path: checkpoint.path,
    architecture: config.architecture,
    numLayers: config.numLayers,
    hiddenSize: config.hiddenSize,
    intermediateSize: config.intermediateSize,
    numHeads: config.numHeads,
    numKvHeads: config.numKvHeads,
    headDim: config.headDim,
    vocabSize: config.vocabSize,
    experts: moe && { numExperts: moe.numExperts, numExpertsPerToken: moe.numExpertsPerToken },
    quantization: schemeOf(checkpoint)?.name ?? null,
    numParameters: sumOf(modules, ({ numParameters }) => numParameters),
    bytes,
    parts: sharesBy(modules, ({ part }) => part),
    formats: sharesBy(modules, ({ format }) => format),
    pooling,
    maxPositions: maxPositionsOf(config, pooling),
    kvBytesPerToken: kvBytes as Record<KvDType, number>, // an entry per dtype
    memory: fitOf({
      bytes,
      kvBytesPerToken: kvBytes['float32']!,
      maxPositions: maxPositionsOf(config, pooling),
      availableBytes,
    }),
  }
}

function maxPositionsOf({ maxPositionEmbeddings }: ModelConfig, { maxTokens }: PoolingConfig): number {
  return Math.min(maxPositionEmbeddings, maxTokens ?? Infinity)
}

function fitOf({ bytes, kvBytesPerToken: perToken, maxPositions, availableBytes }: FitInput): MemoryFit {
  const left = availableBytes - bytes - reservedBytes
  const maxContextTokens =
    left < 0 ? 0 : Math.min(maxPositions, perToken === 0 ? Infinity : Math.floor(left / perToken))
  const fits = maxContextTokens >= Math.min(minContextTokens, maxPositions)
  return { availableBytes, fits, maxContextTokens }
}

interface FitInput {
  readonly bytes: number
  readonly kvBytesPerToken: number
  readonly maxPositions: number
  readonly availableBytes: number
}

/** The largest first. */
function sharesBy(modules: readonly ModuleTensors[], nameOf: (module: ModuleTensors) => string): Share[] {
  return [...Map.groupBy(modules, nameOf)]
    .map(([name, group]) => ({
      name,
      numParameters: sumOf(group, ({ numParameters }) => numParameters),
      bytes: sumOf(group, (module) => module.bytes),
    }))
    .sort((a, b) => b.bytes - a.bytes)
}

function sumOf(modules: readonly ModuleTensors[], of: (module: ModuleTensors) => number): number {
  return modules.reduce((sum, module) => sum + of(module), 0)
}
