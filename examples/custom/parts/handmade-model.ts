// A model put together from layers by hand: pre-norm attention and gated MLP, as Llama has them.
import { add, type Tensor2D } from '@tensorflow/tfjs-core'
import {
  type CausalLM,
  createAttention,
  createEmbedding,
  createGatedMlp,
  createRmsNorm,
  createTiedLmHead,
  type ForwardContext,
  type KvShape,
  type ModelConfig,
  type ModelDefinition,
  RotaryEmbedding,
  shareHeads,
  WeightLoader,
} from '@octavo/core/model'

class HandmadeModel implements CausalLM {
  readonly config: ModelConfig
  readonly layers
  readonly kvShape: KvShape
  readonly weightBytes: number
  readonly #loader: WeightLoader
  readonly #rope: RotaryEmbedding
  readonly #embedding
  readonly #blocks
  readonly #finalNorm
  readonly #head

  constructor(loader: WeightLoader, config: ModelConfig) {
    const { hiddenSize, headDim, normEpsilon: epsilon, numLayers } = config
    const norm = (prefix: string) =>
      createRmsNorm(loader, { prefix, features: hiddenSize, epsilon, hasUnitOffset: false })
    this.config = config
    this.#loader = loader
    this.#rope = new RotaryEmbedding(config.rope, headDim)
    loader.own(this.#rope)
    this.#embedding = createEmbedding(loader, {
      prefix: 'model.embed_tokens',
      numEmbeddings: config.vocabSize,
      hiddenSize,
    })
    this.#blocks = Array.from({ length: numLayers }, (_, layer) => {
      const at = (name: string): string => `model.layers.${layer}.${name}`
      return {
        inputNorm: norm(at('input_layernorm')),
        attention: createAttention(loader, {
          ...config,
          layer,
          qkvPrefixes: { q: at('self_attn.q_proj'), k: at('self_attn.k_proj'), v: at('self_attn.v_proj') },
          outputPrefix: at('self_attn.o_proj'),
          hasQkvBias: false,
          hasOutputBias: false,
          qkNorm: null,
          rope: this.#rope,
          scale: headDim ** -0.5,
          softcap: null,
          sinks: null,
        }),
        mlpNorm: norm(at('post_attention_layernorm')),
        mlp: createGatedMlp(loader, {
          ...config,
          prefixes: { gate: at('mlp.gate_proj'), up: at('mlp.up_proj') },
          downPrefix: at('mlp.down_proj'),
          hasBias: false,
        }),
      }
    })
    this.#finalNorm = norm('model.norm')
    this.#head = createTiedLmHead(this.#embedding)
    this.layers = { start: 0, end: numLayers }
    this.kvShape = { numLayers, numKvHeads: shareHeads(config, loader.communicator).numKvHeads, headDim }
    this.weightBytes = loader.sizeInBytes
  }

  forward(inputIds: Int32Array, context: ForwardContext): Tensor2D {
    const rows = this.#rope.prepare(context.metadata)
    let x = this.#embedding.forward(inputIds, context) // [numTokens, hiddenSize]
    for (const { inputNorm, attention, mlpNorm, mlp } of this.#blocks) {
      x = add(x, attention.forward(inputNorm.forward(x), context, rows))
      x = add(x, mlp.forward(mlpNorm.forward(x), context))
    }
    return this.#finalNorm.forward(x)
  }

  computeLogits(hidden: Tensor2D, context: ForwardContext): Tensor2D {
    return this.#head.forward(hidden, context)
  }

  dispose(): void {
    this.#loader.dispose()
  }
}

const definition: ModelDefinition = {
  // Its config.json has a key of its own in place of one that Octavo reads.
  readConfig: ({ num_blocks: numBlocks, ...rest }) => ({ ...rest, num_hidden_layers: numBlocks }),
  load(context) {
    const loader = new WeightLoader(context)
    try {
      const model = new HandmadeModel(loader, context.config)
      loader.finish()
      return model
    } catch (error) {
      loader.dispose()
      throw error
    }
  },
}

/** By the name in `architectures` of config.json. */
export const architectures = { HandmadeForCausalLM: definition }
