import { add, div, mul, tanh, tidy } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import type { ModelConfig } from '../config/model-config.ts'
import { createEmbedding, createLmHead, createTiedLmHead } from '../layers/embedding.ts'
import type { Embedding } from '../layers/embedding.ts'
import { shareHeads } from '../layers/linear.ts'
import type { Linear } from '../layers/linear.ts'
import type { Norm } from '../layers/norm.ts'
import { RotaryEmbedding } from '../layers/rotary-embedding.ts'
import { WeightLoader } from '../layers/weight-loader.ts'
import type { AttentionMetadata } from '../ops/attention-metadata.ts'
import type { KvStorage } from '../tensor/kv-storage.ts'
import { assert } from '../util/assert.ts'
import { createBlock, createNorm, runBlock } from './decoder-block.ts'
import type { DecoderBlock, Stream } from './decoder-block.ts'
import type { DecoderDesign } from './decoder-design.ts'
import type { CausalLM, KvShape, LoadModelContext, ModelDefinition } from './model.ts'
import { resolveNames } from './weight-names.ts'

/** An architecture's definition from its design. */
export function defineDecoder(design: (config: ModelConfig) => DecoderDesign): ModelDefinition {
  return { load: (context) => loadDecoder(context, design(context.config)) }
}

/** Throws CheckpointError, UnsupportedModelError or InvalidConfigError, and then leaves nothing allocated. */
export function loadDecoder(context: LoadModelContext, design: DecoderDesign): CausalLM {
  const loader = new WeightLoader(context)
  try {
    const decoder = new Decoder(loader, context.config, design)
    loader.finish()
    return decoder
  } catch (error) {
    loader.dispose()
    throw error
  }
}

/** The decoder of all supported models: embeddings, blocks of attention and MLP, final norm, head. */
class Decoder implements CausalLM {
  readonly config: ModelConfig
  readonly kvShape: KvShape
  readonly weightBytes: number
  /** Owns every weight and table below. */
  readonly #loader: WeightLoader
  readonly #design: DecoderDesign
  readonly #embedding: Embedding
  readonly #positions: Embedding | null
  readonly #rope: RotaryEmbedding | null
  readonly #slidingRope: RotaryEmbedding | null
  readonly #blocks: readonly DecoderBlock[]
  readonly #finalNorm: Norm
  readonly #lmHead: Linear

  constructor(loader: WeightLoader, config: ModelConfig, design: DecoderDesign) {
    const { hiddenSize, vocabSize: numEmbeddings, headDim, numLayers } = config
    const { base, lmHead } = resolveNames(loader.source, design)
    this.config = config
    this.#loader = loader
    this.#design = design
    this.#rope = design.attention.hasRope ? new RotaryEmbedding(config.rope, headDim) : null
    const isSameRope = this.#rope === null || config.slidingRope === config.rope
    this.#slidingRope = isSameRope ? this.#rope : new RotaryEmbedding(config.slidingRope, headDim)
    for (const rope of [this.#rope, this.#slidingRope]) if (rope !== null) loader.own(rope)

    this.#embedding = createEmbedding(loader, { prefix: base + design.embedding, numEmbeddings, hiddenSize })
    this.#positions =
      design.positions === null
        ? null
        : createEmbedding(loader, {
            prefix: base + design.positions,
            numEmbeddings: config.maxPositionEmbeddings,
            hiddenSize,
          })
    const context = { loader, config, design, base }
    this.#blocks = Array.from({ length: numLayers }, (_, layer) =>
      createBlock(context, layer, config.layerTypes[layer] === 'sliding' ? this.#slidingRope : this.#rope),
    )
    this.#finalNorm = createNorm(context, base + design.finalNorm)
    this.#lmHead =
      (config.hasTiedEmbeddings ?? lmHead === null)
        ? createTiedLmHead(this.#embedding)
        : createLmHead(loader, { prefix: lmHead ?? design.lmHead, numEmbeddings, hiddenSize })
    this.weightBytes = loader.sizeInBytes
    this.kvShape = { numLayers, numKvHeads: shareHeads(config, loader.communicator).numKvHeads, headDim }
  }

  forward(inputIds: Int32Array, metadata: AttentionMetadata, kv: KvStorage): Tensor2D {
    const { numTokens } = metadata
    assert(inputIds.length === numTokens, `forward: ${inputIds.length} ids for ${numTokens} tokens`)
    const rows = this.#rope?.prepare(metadata) ?? null
    const slidingRows = this.#slidingRope === this.#rope ? rows : (this.#slidingRope?.prepare(metadata) ?? null)
    let stream = tidy(() => this.#embed(inputIds, metadata))
    this.#blocks.forEach((block, layer) => {
      const next = this.#blocks[layer + 1]?.beforeAttention
      const context = { metadata, kv, rows: block.isSliding ? slidingRows : rows }
      const { x, residual } = stream
      // After the last block comes the final norm; between post-norm blocks there is none.
      stream = tidy(() =>
        runBlock(block, { x, residual }, { ...context, next: next === undefined ? this.#finalNorm : next }),
      )
      // Two tensors per layer would otherwise live until the caller's tidy ends.
      x.dispose()
      residual.dispose()
    })
    stream.residual.dispose()
    return stream.x
  }

  computeLogits(hidden: Tensor2D): Tensor2D {
    const { finalSoftcap } = this.#design
    return tidy(() => {
      const logits = this.#lmHead.forward(hidden)
      return finalSoftcap === null ? logits : mul<Tensor2D>(tanh(div(logits, finalSoftcap)), finalSoftcap)
    })
  }

  dispose(): void {
    this.#loader.dispose()
  }

  #embed(inputIds: Int32Array, { positions }: AttentionMetadata): Stream {
    const { embeddingScale } = this.#design
    let residual = this.#embedding.forward(inputIds)
    if (embeddingScale !== null) residual = mul(residual, embeddingScale)
    if (this.#positions !== null) residual = add(residual, this.#positions.forward(positions))
    return { x: this.#blocks[0]?.beforeAttention?.forward(residual) ?? residual, residual }
  }
}
