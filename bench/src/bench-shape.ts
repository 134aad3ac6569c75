/** A model without its meaning: sizes as in its config.json, and which matrices follow from them. */
export interface BenchShape {
  readonly name: string
  readonly modelType: 'llama' | 'qwen2'
  readonly numLayers: number
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly numHeads: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly vocabSize: number
  readonly ropeTheta: number
  /** The output layer is the embedding. */
  readonly isTied: boolean
}

export const shapes: Readonly<Record<string, BenchShape>> = {
  'tinyllama-1.1b': {
    name: 'tinyllama-1.1b',
    modelType: 'llama',
    numLayers: 22,
    hiddenSize: 2048,
    intermediateSize: 5632,
    numHeads: 32,
    numKvHeads: 4,
    headDim: 64,
    vocabSize: 32_000,
    ropeTheta: 10_000,
    isTied: false,
  },
  'qwen2.5-0.5b': {
    name: 'qwen2.5-0.5b',
    modelType: 'qwen2',
    numLayers: 24,
    hiddenSize: 896,
    intermediateSize: 4864,
    numHeads: 14,
    numKvHeads: 2,
    headDim: 64,
    vocabSize: 151_936,
    ropeTheta: 1_000_000,
    isTied: true,
  },
  'llama-3.2-1b': {
    name: 'llama-3.2-1b',
    modelType: 'llama',
    numLayers: 16,
    hiddenSize: 2048,
    intermediateSize: 8192,
    numHeads: 32,
    numKvHeads: 8,
    headDim: 64,
    vocabSize: 128_256,
    ropeTheta: 500_000,
    isTied: true,
  },
  'smollm2-135m': {
    name: 'smollm2-135m',
    modelType: 'llama',
    numLayers: 30,
    hiddenSize: 576,
    intermediateSize: 1536,
    numHeads: 9,
    numKvHeads: 3,
    headDim: 64,
    vocabSize: 49_152,
    ropeTheta: 100_000,
    isTied: true,
  },
}

/** No model's: shows in a minute whether a bench still runs. */
export const smokeShape: BenchShape = {
  name: 'smoke',
  modelType: 'qwen2',
  numLayers: 4,
  hiddenSize: 512,
  intermediateSize: 1536,
  numHeads: 8,
  numKvHeads: 2,
  headDim: 64,
  vocabSize: 4096,
  ropeTheta: 10_000,
  isTied: true,
}

/** How a matrix is stored: `bytes` hold `block` weights. */
export interface WeightBlock {
  readonly block: number
  readonly bytes: number
}

export type BenchFormat = 'q8_0' | 'q4_0' | 'f16' | 'bf16'

export const weightBlocks: Readonly<Record<BenchFormat, WeightBlock>> = {
  q8_0: { block: 32, bytes: 34 },
  q4_0: { block: 32, bytes: 18 },
  f16: { block: 1, bytes: 2 },
  bf16: { block: 1, bytes: 2 },
}

/** Every layer's matrices `[rows, cols]`, in the order of their use. */
export function layerMatrices(shape: BenchShape): { name: LayerMatrix; rows: number; cols: number }[] {
  const { hiddenSize, intermediateSize, numHeads, numKvHeads, headDim } = shape
  return [
    { name: 'q', rows: numHeads * headDim, cols: hiddenSize },
    { name: 'k', rows: numKvHeads * headDim, cols: hiddenSize },
    { name: 'v', rows: numKvHeads * headDim, cols: hiddenSize },
    { name: 'output', rows: hiddenSize, cols: numHeads * headDim },
    { name: 'gate', rows: intermediateSize, cols: hiddenSize },
    { name: 'up', rows: intermediateSize, cols: hiddenSize },
    { name: 'down', rows: hiddenSize, cols: intermediateSize },
  ]
}

export type LayerMatrix = 'q' | 'k' | 'v' | 'output' | 'gate' | 'up' | 'down'

export function hasBias({ modelType }: BenchShape, name: LayerMatrix): boolean {
  return modelType === 'qwen2' && (name === 'q' || name === 'k' || name === 'v')
}

/** Weights that every token of a prompt is multiplied with: those of the layers. */
export function numLayerWeights(shape: BenchShape): number {
  return shape.numLayers * layerMatrices(shape).reduce((sum, { rows, cols }) => sum + rows * cols, 0)
}

/** Weights that one step of decoding reads: the layers and the output layer. */
export function numStepWeights(shape: BenchShape): number {
  return numLayerWeights(shape) + shape.vocabSize * shape.hiddenSize
}

export function weightBytes(numWeights: number, format: BenchFormat): number {
  const { block, bytes } = weightBlocks[format]
  return (numWeights / block) * bytes
}
