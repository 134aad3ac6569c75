import { add, clone, div, mul, tanh, tidy } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import type { ModelConfig } from '../config/model-config.ts'
import { InvalidConfigError } from '../errors.ts'
import { createEmbedding, createLmHead, createTiedLmHead } from '../layers/embedding.ts'
import type { Embedding } from '../layers/embedding.ts'
import type { ForwardContext } from '../layers/forward-context.ts'
import type { Linear } from '../layers/linear.ts'
import type { Norm } from '../layers/norm.ts'
import { RotaryEmbedding } from '../layers/rotary-embedding.ts'
import { shareHeads } from '../layers/shard.ts'
import { WeightLoader } from '../layers/weight-loader.ts'
import { assert } from '../util/assert.ts'
import { checkShards } from './check-shards.ts'
import { createBlock, createNorm, runBlock } from './decoder-block.ts'
import type { DecoderBlock, Stream } from './decoder-block.ts'
import type { DecoderDesign } from './decoder-design.ts'
import type { CausalLM, KvShape, LayerRange, LoadModelContext, ModelDefinition, PoolingHeads } from './model.ts'
import { createPoolingHeads } from './pooling-heads.ts'
import { resolveNames, stageLayout } from './weight-names.ts'

/** An architecture's definition from its design. */
export function defineDecoder(design: (config: ModelConfig) => DecoderDesign): ModelDefinition {
  return { load: (context) => loadDecoder(context, design(context.config)), design }
}

/** Throws CheckpointError, UnsupportedModelError or InvalidConfigError, and then leaves nothing allocated. */
export function loadDecoder(context: LoadModelContext, design: DecoderDesign): CausalLM {
  const { source } = context
  const config = withoutUnusedHead(context)
  const { numLayers } = config
  const layers = resolveLayers(context)
  const names = resolveNames(source, design, config)
  const loader = new WeightLoader({ ...context, layout: stageLayout(design, { names, layers, numLayers }) })
  try {
    checkShards(loader, { config, design, layers })
    const decoder = new Decoder(loader, { config, context, design, layers, isTied: names.isTied })
    loader.finish(design.unused)
    return decoder
  } catch (error) {
    loader.dispose()
    throw error
  }
}

/** The config of an embedder's checkpoint may be that of a model with a head. */
function withoutUnusedHead({ config, pooling }: LoadModelContext): ModelConfig {
  return config.head === 'tokens' && pooling?.canGenerate === false ? { ...config, head: 'none' } : config
}

function resolveLayers({ layers, config: { numLayers } }: LoadModelContext): LayerRange {
  const { start, end } = layers ?? { start: 0, end: numLayers }
  const isRange = Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start <= end && end <= numLayers
  if (isRange && (start < end || start === 0 || end === numLayers)) return { start, end }
  throw new InvalidConfigError('layers', `${start} to ${end} is no part of ${numLayers} layers`)
}

interface DecoderOptions {
  readonly config: ModelConfig
  readonly context: Pick<LoadModelContext, 'pack' | 'dtype' | 'pooling'>
  readonly design: DecoderDesign
  readonly layers: LayerRange
  readonly isTied: boolean
}

function createHeads(loader: WeightLoader, { config, context, design: { classifiers } }: DecoderOptions): PoolingHeads {
  return createPoolingHeads(loader, context, { config, dense: context.pooling?.dense ?? [], classifiers })
}

/** The decoder of all supported models, or a stage of it: embeddings, blocks of attention and MLP, final norm, head. */
class Decoder implements CausalLM {
  readonly config: ModelConfig
  readonly layers: LayerRange
  readonly kvShape: KvShape
  readonly weightBytes: number
  readonly heads?: PoolingHeads
  /** Owns every weight and table below. */
  readonly #loader: WeightLoader
  readonly #design: DecoderDesign
  readonly #embedding: Embedding | null
  readonly #positions: Embedding | null
  readonly #rope: RotaryEmbedding | null
  readonly #slidingRope: RotaryEmbedding | null
  readonly #blocks: readonly DecoderBlock[]
  readonly #finalNorm: Norm | null
  readonly #lmHead: Linear | null

  constructor(loader: WeightLoader, options: DecoderOptions) {
    const { config, design, layers, isTied } = options
    const { hiddenSize, vocabSize: numEmbeddings, headDim } = config
    const { start, end } = layers
    const hasHead = end === config.numLayers
    this.config = config
    this.layers = layers
    this.#loader = loader
    this.#design = design
    this.#rope = design.attention.hasRope ? new RotaryEmbedding(config.rope, headDim) : null
    const isSameRope = this.#rope === null || config.slidingRope === config.rope
    this.#slidingRope = isSameRope ? this.#rope : new RotaryEmbedding(config.slidingRope, headDim)
    for (const rope of [this.#rope, this.#slidingRope]) if (rope !== null) loader.own(rope)

    const table = { hiddenSize, numEmbeddings }
    const embedding =
      start === 0 || (hasHead && isTied) ? createEmbedding(loader, { ...table, prefix: design.embedding }) : null
    this.#embedding = start === 0 ? embedding : null
    this.#positions =
      design.positions === null || start > 0
        ? null
        : createEmbedding(loader, {
            prefix: design.positions,
            numEmbeddings: config.maxPositionEmbeddings,
            hiddenSize,
          })
    const context = { loader, config, design, firstLayer: start }
    this.#blocks = Array.from({ length: end - start }, (_, i) => {
      const isSliding = config.layerTypes[start + i] === 'sliding'
      return createBlock(context, start + i, isSliding ? this.#slidingRope : this.#rope)
    })
    this.#finalNorm = hasHead ? createNorm(context, design.finalNorm) : null
    if (!hasHead || config.head !== 'tokens') this.#lmHead = null
    else if (isTied && embedding !== null) this.#lmHead = createTiedLmHead(embedding)
    else this.#lmHead = createLmHead(loader, { ...table, prefix: design.lmHead })
    if (hasHead) this.heads = createHeads(loader, options)
    this.weightBytes = loader.sizeInBytes
    this.kvShape = {
      numLayers: end - start,
      numKvHeads: shareHeads(config, loader.communicator).numKvHeads,
      headDim,
    }
  }

  forward(input: Int32Array | Tensor2D, context: ForwardContext): Tensor2D {
    const { metadata } = context
    const numRows = input instanceof Int32Array ? input.length : input.shape[0]
    assert(numRows === metadata.numTokens, `forward: ${numRows} rows for ${metadata.numTokens} tokens`)
    const rows = this.#rope?.prepare(metadata) ?? null
    const slidingRows = this.#slidingRope === this.#rope ? rows : (this.#slidingRope?.prepare(metadata) ?? null)
    let stream = tidy(() => this.#enter(input, context))
    this.#blocks.forEach((block, i) => {
      const next = this.#blocks[i + 1]?.beforeAttention
      const { x, residual } = stream
      // After the last block comes the final norm; between post-norm blocks, and behind a stage, there is none.
      stream = tidy(() =>
        runBlock(
          block,
          { x, residual },
          { context, rows: block.isSliding ? slidingRows : rows, next: next === undefined ? this.#finalNorm : next },
        ),
      )
      // Two tensors per layer would otherwise live until the caller's tidy ends.
      x.dispose()
      residual.dispose()
    })
    if (stream.residual !== stream.x) stream.residual.dispose()
    return stream.x
  }

  computeLogits(hidden: Tensor2D, context: ForwardContext): Tensor2D {
    const { finalSoftcap } = this.#design
    const head = this.#lmHead
    assert(head !== null, `computeLogits: layers ${this.layers.start} to ${this.layers.end} are without a head`)
    return tidy(() => {
      const logits = head.forward(hidden, context)
      return finalSoftcap === null ? logits : mul<Tensor2D>(tanh(div(logits, finalSoftcap)), finalSoftcap)
    })
  }

  dispose(): void {
    this.#loader.dispose()
  }

  /** The stream before the first block, or where there is none, the stage's result. */
  #enter(input: Int32Array | Tensor2D, context: ForwardContext): Stream {
    const residual = input instanceof Int32Array ? this.#embed(input, context) : clone(input)
    const [first] = this.#blocks
    const norm = first === undefined ? this.#finalNorm : first.beforeAttention
    return { x: norm?.forward(residual) ?? residual, residual }
  }

  #embed(inputIds: Int32Array, context: ForwardContext): Tensor2D {
    const { embeddingScale } = this.#design
    assert(this.#embedding !== null, `forward: a stage that begins at layer ${this.layers.start} takes hidden states`)
    let embedded = this.#embedding.forward(inputIds, context)
    if (embeddingScale !== null) embedded = mul(embedded, embeddingScale)
    return this.#positions === null
      ? embedded
      : add(embedded, this.#positions.forward(context.metadata.positions, context))
  }
}
