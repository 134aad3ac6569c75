import { InvalidConfigError } from '@octavo/core'
import type { LayerRange, ModelConfig } from '@octavo/core/model'

export interface LayerRangeOptions {
  readonly numStages: number
  /** Layers of each stage, first to last; by default they are balanced. */
  readonly layerSplit?: readonly number[] | null
}

/** Multiply-adds that a computed token costs on average, in a prompt or behind it. */
export interface LayerCosts {
  /** A row that is looked up: next to nothing, whatever memory the table takes. */
  readonly embedding: number
  readonly layers: readonly number[] // [numLayers]
  /** Final norm and head, for the tokens that go through it. */
  readonly head: number
}

/**
 * Of the computed tokens, those behind which one is sampled: all that are decoded, and of a prompt the last alone. Two
 * tokens of prompt for one of output are a third, but decoded tokens take more time each, as few share the reading of the
 * weights.
 */
const sampledShare = 1 / 2

/** How long a context is taken to be: what sliding layers save depends on it. */
const typicalContext = 2048

/**
 * The layers of each pipeline stage: contiguous, at least one, and the most expensive stage as cheap as can be, for the
 * others wait for it, over prompts and decoding together. The first has the embedding, the last norm and head; where these
 * are tied, both hold the table.
 * @throws InvalidConfigError where there are more stages than layers, or the list does not fit the model or the stages.
 */
export function resolveLayerRanges(config: ModelConfig, { numStages, layerSplit }: LayerRangeOptions): LayerRange[] {
  const { numLayers } = config
  if (!Number.isInteger(numStages) || numStages < 1)
    throw new InvalidConfigError('pp', `must be an integer of at least 1, got ${numStages}`)
  if (numStages > numLayers) {
    throw new InvalidConfigError(
      'pp',
      `is ${numStages}, more stages than the ${numLayers} layers of ${config.file}; use ${numLayers} at most`,
    )
  }
  const sizes = layerSplit ?? balance(layerCosts(config), numStages)
  checkSizes(sizes, config, numStages)
  let start = 0
  return sizes.map((size) => ({ start, end: (start += size) }))
}

/** Estimated from the model's shape. Of experts count those that a token visits. */
export function layerCosts(config: ModelConfig): LayerCosts {
  const { hiddenSize, vocabSize, numLayers } = config
  return {
    embedding: hiddenSize,
    layers: Array.from({ length: numLayers }, (_, layer) => attentionCost(config, layer) + mlpCost(config, layer)),
    head: sampledShare * hiddenSize * vocabSize,
  }
}

function attentionCost(config: ModelConfig, layer: number): number {
  const { hiddenSize, numHeads, numKvHeads, headDim, layerTypes, slidingWindow, maxPositionEmbeddings } = config
  const window = layerTypes[layer] === 'sliding' ? (slidingWindow ?? Infinity) : Infinity
  const context = Math.min(typicalContext, maxPositionEmbeddings, window)
  const projections = hiddenSize * headDim * (2 * numHeads + 2 * numKvHeads)
  return projections + 2 * numHeads * headDim * context
}

function mlpCost({ hiddenSize, intermediateSize, modelType, moe }: ModelConfig, layer: number): number {
  if (moe?.layers[layer] === true)
    return hiddenSize * (moe.numExperts + 3 * moe.numExpertsPerToken * moe.intermediateSize)
  const numMatrices = modelType === 'gpt2' ? 2 : 3 // all others have a gate
  return numMatrices * hiddenSize * intermediateSize
}

interface Split {
  /** Of the most expensive stage. */
  readonly max: number
  /** Of all costs: among splits of equal maximum the even one. */
  readonly sumOfSquares: number
  readonly sizes: readonly number[]
}

/** The best split of the first `n` layers into 1, 2, … stages, for each `n`. */
function balance({ embedding, layers, head }: LayerCosts, numStages: number): readonly number[] {
  const numLayers = layers.length
  const costBefore = [embedding]
  for (const cost of layers) costBefore.push(costBefore.at(-1)! + cost)
  costBefore[0] = 0
  costBefore[numLayers]! += head
  let best: (Split | null)[] = costBefore.map((_, end) => (end === 0 ? { max: 0, sumOfSquares: 0, sizes: [] } : null))
  for (let stage = 0; stage < numStages; stage++) {
    best = costBefore.map((cost, end) => {
      const splits = best
        .slice(0, end)
        .map((split, start) => split && withStage(split, end - start, cost - costBefore[start]!))
      return splits.reduce((a, b) => (a === null || (b !== null && isBetter(b, a)) ? b : a), null)
    })
  }
  return best[numLayers]?.sizes ?? []
}

function withStage({ max, sumOfSquares, sizes }: Split, size: number, cost: number): Split {
  return { max: Math.max(max, cost), sumOfSquares: sumOfSquares + cost ** 2, sizes: [...sizes, size] }
}

function isBetter(a: Split, b: Split): boolean {
  return a.max < b.max || (a.max === b.max && a.sumOfSquares < b.sumOfSquares)
}

function checkSizes(sizes: readonly number[], { numLayers, file }: ModelConfig, numStages: number): void {
  const list = `[${sizes.join(', ')}]`
  const refuse = (reason: string): never => {
    throw new InvalidConfigError('layerSplit', `${list} ${reason}`)
  }
  if (sizes.some((size) => !Number.isInteger(size) || size < 1))
    refuse('must give each stage a whole number of layers, at least 1')
  if (sizes.length !== numStages) refuse(`is for ${sizes.length} stages, but pp is ${numStages}; give as many numbers`)
  const sum = sizes.reduce((total, size) => total + size, 0)
  if (sum !== numLayers) refuse(`adds up to ${sum} layers, but ${file} has ${numLayers}`)
}
