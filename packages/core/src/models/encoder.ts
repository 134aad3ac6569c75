import { add, tidy } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import type { EncoderConfig } from '../config/encoder-config.ts'
import type { ModelConfig } from '../config/model-config.ts'
import { CheckpointError, InvalidConfigError } from '../errors.ts'
import { createEmbedding } from '../layers/embedding.ts'
import type { Embedding } from '../layers/embedding.ts'
import type { ForwardContext } from '../layers/forward-context.ts'
import { createLayerNorm } from '../layers/norm.ts'
import type { Norm } from '../layers/norm.ts'
import { RotaryEmbedding } from '../layers/rotary-embedding.ts'
import { WeightLoader } from '../layers/weight-loader.ts'
import type { WeightSource } from '../loading/weight-source.ts'
import type { WeightLayout } from '../loading/weight-view.ts'
import { assert, unreachable } from '../util/assert.ts'
import { createEncoderBlock } from './encoder-block.ts'
import type { EncoderBlock } from './encoder-block.ts'
import type { EncoderDesign } from './encoder-design.ts'
import type { CausalLM, KvShape, LayerRange, LoadModelContext, ModelDefinition, PoolingHeads } from './model.ts'
import { createPoolingHeads } from './pooling-heads.ts'

/** An architecture's definition from its design. */
export function defineEncoder(design: (config: ModelConfig) => EncoderDesign): ModelDefinition {
  return { load: (context) => loadEncoder(context, design(context.config)) }
}

/** Throws CheckpointError, UnsupportedModelError or InvalidConfigError, and then leaves nothing allocated. */
function loadEncoder(context: LoadModelContext, design: EncoderDesign): CausalLM {
  const { config, source, layers } = context
  const { encoder, numLayers } = config
  assert(encoder !== null, 'the config of an encoder says what it has')
  if (layers !== undefined && (layers.start !== 0 || layers.end !== numLayers))
    throw new InvalidConfigError('pp', 'an encoder is not cut into stages; use 1, or tp')
  const loader = new WeightLoader({ ...context, layout: encoderLayout(source, design) })
  try {
    const model = new Encoder(loader, { context, design, encoder })
    loader.finish(design.unused)
    return model
  } catch (error) {
    loader.dispose()
    throw error
  }
}

/** Stored names → the design's: without the stack's prefix, and norms as newer files name their tensors. */
function encoderLayout(source: WeightSource, { stack, embedding }: EncoderDesign): WeightLayout {
  const prefix = [stack, ''].find((candidate) => source.raw(`${candidate}${embedding}.weight`) !== null)
  if (prefix === undefined)
    throw new CheckpointError(
      source.file,
      `no embedding among ${source.names().length} tensors; looked for ${stack}${embedding}.weight and ${embedding}.weight`,
    )
  return {
    rename: (stored) => {
      const name = stored.startsWith(prefix) ? stored.slice(prefix.length) : stored
      return name.replace(/\.LayerNorm\.gamma$/, '.LayerNorm.weight').replace(/\.LayerNorm\.beta$/, '.LayerNorm.bias')
    },
    isInOut: () => false,
  }
}

interface EncoderOptions {
  readonly context: LoadModelContext
  readonly design: EncoderDesign
  readonly encoder: EncoderConfig
}

/**
 * The encoder of all supported models: embeddings, blocks of attention in both directions and MLP. A sequence must be computed
 * whole in one step, as its tokens see each other; nothing is kept between steps.
 */
class Encoder implements CausalLM {
  readonly config: ModelConfig
  readonly layers: LayerRange
  readonly kvShape: KvShape
  readonly weightBytes: number
  readonly heads: PoolingHeads
  /** Owns every weight and table below. */
  readonly #loader: WeightLoader
  readonly #encoder: EncoderConfig
  readonly #hasSegments: boolean
  readonly #embedding: Embedding
  readonly #positions: Embedding | null
  readonly #tokenTypes: Embedding | null
  readonly #embeddingNorm: Norm
  readonly #ropes: { readonly full: RotaryEmbedding; readonly sliding: RotaryEmbedding } | null
  readonly #blocks: readonly EncoderBlock[]
  readonly #finalNorm: Norm | null

  constructor(loader: WeightLoader, { context, design, encoder }: EncoderOptions) {
    const { config, pooling } = context
    const { hiddenSize, numLayers, headDim, normEpsilon: epsilon } = config
    const table = (prefix: string, numEmbeddings: number): Embedding =>
      createEmbedding(loader, { prefix, numEmbeddings, hiddenSize })
    const norm = (prefix: string): Norm => createLayerNorm(loader, { prefix, features: hiddenSize, epsilon })
    this.config = config
    this.layers = { start: 0, end: numLayers }
    this.kvShape = { numLayers: 0, numKvHeads: 1, headDim }
    this.#loader = loader
    this.#encoder = encoder
    this.#hasSegments = design.hasSegments
    this.#embedding = table(design.embedding, config.vocabSize)
    this.#positions =
      design.positions === null ? null : table(design.positions, config.maxPositionEmbeddings + encoder.firstPosition)
    this.#tokenTypes =
      design.tokenTypes === null || encoder.numTokenTypes === 0 ? null : table(design.tokenTypes, encoder.numTokenTypes)
    this.#embeddingNorm = norm(design.embeddingNorm)
    this.#ropes =
      design.positions === null
        ? { full: new RotaryEmbedding(config.rope, headDim), sliding: new RotaryEmbedding(config.slidingRope, headDim) }
        : null
    for (const rope of Object.values(this.#ropes ?? {})) loader.own(rope)
    this.#blocks = Array.from({ length: numLayers }, (_, layer) => {
      const rope = this.#ropes?.[config.layerTypes[layer] ?? unreachable(layer as never)] ?? null
      return createEncoderBlock({ loader, config, design }, layer, rope)
    })
    this.#finalNorm = design.norms.place === 'before' ? norm(design.norms.final) : null
    this.heads = createPoolingHeads(loader, context, {
      config,
      dense: pooling?.dense ?? [],
      classifiers: design.classifiers,
    })
    this.weightBytes = loader.sizeInBytes
  }

  forward(input: Int32Array | Tensor2D, context: ForwardContext): Tensor2D {
    const { metadata } = context
    assert(input instanceof Int32Array, 'an encoder takes token ids')
    assert(input.length === metadata.numTokens, `forward: ${input.length} rows for ${metadata.numTokens} tokens`)
    const rows = this.#ropes && {
      full: this.#ropes.full.prepare(metadata),
      sliding: this.#ropes.sliding.prepare(metadata),
    }
    let x = tidy(() => this.#embed(input, context))
    for (const block of this.#blocks) {
      const before = x
      x = tidy(() => block.forward(before, context, rows && rows[block.layerType]))
      before.dispose()
    }
    if (this.#finalNorm === null) return x
    const normed = this.#finalNorm.forward(x)
    x.dispose()
    return normed
  }

  computeLogits(): Tensor2D {
    return assert(false, `${this.config.architecture} has no head over the vocabulary`) as never
  }

  dispose(): void {
    this.#loader.dispose()
  }

  #embed(ids: Int32Array, context: ForwardContext): Tensor2D {
    let embedded = this.#embedding.forward(ids, context)
    if (this.#tokenTypes !== null) {
      const last = this.#encoder.numTokenTypes - 1
      const types = (this.#hasSegments && context.tokenTypes) || new Int32Array(ids.length)
      embedded = add(
        embedded,
        this.#tokenTypes.forward(
          types.map((type) => Math.min(type, last)),
          context,
        ),
      )
    }
    if (this.#positions !== null)
      embedded = add(embedded, this.#positions.forward(this.#placesOf(ids, context), context))
    return this.#embeddingNorm.forward(embedded)
  }

  /** Rows of the table of positions. Where padding has one of its own, padding tokens in a text stand there and do not count. */
  #placesOf(ids: Int32Array, { metadata: { positions, queryStartLoc } }: ForwardContext): Int32Array {
    const { firstPosition, padTokenId } = this.#encoder
    if (firstPosition === 0) return positions
    const places = new Int32Array(ids.length)
    for (let s = 0; s + 1 < queryStartLoc.length; s++) {
      let next = firstPosition
      for (let i = queryStartLoc[s]!; i < queryStartLoc[s + 1]!; i++)
        places[i] = ids[i] === padTokenId ? padTokenId : next++
    }
    return places
  }
}
