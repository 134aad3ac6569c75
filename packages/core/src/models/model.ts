import type { Tensor2D } from '@tensorflow/tfjs-core'
import type { BackendPack } from '../backends/backend-pack.ts'
import type { ArchitectureConfig } from '../config/architectures.ts'
import type { ModelConfig } from '../config/model-config.ts'
import type { PoolingConfig } from '../config/pooling-config.ts'
import type { Communicator } from '../layers/communicator.ts'
import type { ExpertBalance } from '../layers/expert-balance.ts'
import type { ForwardContext } from '../layers/forward-context.ts'
import type { LinearMethods } from '../layers/linear-method.ts'
import type { WeightSource } from '../loading/weight-source.ts'
import type { DType } from '../tensor/dtype.ts'
import type { DecoderDesign } from './decoder-design.ts'

export interface KvShape {
  readonly numLayers: number
  readonly numKvHeads: number
  readonly headDim: number
}

/** Decoder layers `start` to `end - 1`. */
export interface LayerRange {
  readonly start: number
  readonly end: number
}

/**
 * A loaded decoder, or a stage of one: a range of its layers, with the embedding where that begins at layer 0 and final norm
 * and head where it ends at the last. Between stages travel hidden states `[numTokens, hiddenSize]`, the residual stream
 * before layer `start`, as transformers' `hidden_states[start]`; any cut gives the bits of the whole. Both calls run inside
 * the caller's `tf.tidy`.
 */
export interface CausalLM {
  readonly config: ModelConfig
  readonly layers: LayerRange
  /** Of the stage's own layers: layer 0 of its KV cache is layer `layers.start` of the model. */
  readonly kvShape: KvShape
  readonly weightBytes: number
  /**
   * ids `[numTokens]` (with the embedding) or hidden states before layer `start` → hidden states before layer `end`, or,
   * behind the last one, after the final norm. Writes K and V of every layer; `input` stays the caller's.
   */
  forward(input: Int32Array | Tensor2D, context: ForwardContext): Tensor2D
  /** Rows of final hidden states `[n, hiddenSize]` → logits `[n, vocabSize]`; `context.tokens` says which rows. */
  computeLogits(hidden: Tensor2D, context: ForwardContext): Tensor2D
  /** Of a model with weights behind its pooling, in the stage with the last layer. */
  readonly heads?: PoolingHeads
  dispose(): void
}

/** Rows of final hidden states, picked or averaged → a row for each, in the caller's `tf.tidy`; `context.tokens` says which. */
export type PoolingHead = (rows: Tensor2D, context: ForwardContext) => Tensor2D

export interface PoolingHeads {
  /** `[n, hiddenSize]` → `[n, dimensions]`, not yet normalized; `null`: the rows are the embeddings. */
  readonly embed: PoolingHead | null
  /** `[n, hiddenSize]` → logits `[n, numLabels]`, before the activation. */
  readonly classify: PoolingHead | null
}

export interface LoadModelContext {
  readonly config: ModelConfig
  readonly source: WeightSource
  readonly pack: BackendPack
  /** 'auto' keeps each weight as stored; otherwise weights are converted at load. */
  readonly dtype: DType | 'auto'
  /** The ranks that share every layer: tensor parallelism. */
  readonly communicator: Communicator
  /**
   * The ranks that have the experts between them, each some of them whole; left out, all of `communicator` have a part of
   * every expert. Those of `communicator`, or, where that is one rank alone, any that run the same layers on the same tokens.
   */
  readonly expertCommunicator?: Communicator
  /** Counts what the experts of each rank are given. */
  readonly expertBalance?: ExpertBalance
  /** How linears, experts, embedding and head store and apply their weights; default: as stored. */
  readonly linearMethods?: LinearMethods
  /** A stage: only these layers, and no more than they need. `{ 0, 0 }` is the embedding alone, `{ n, n }` norm and head. */
  readonly layers?: LayerRange
  /** What of it is to be loaded for pooling; default: what its architecture says. */
  readonly pooling?: PoolingConfig
  readonly onProgress?: (loadedBytes: number, totalBytes: number) => void
}

/** One HF architecture: one file under `models/`, one line in `registry.ts`; or, from outside, an entry of a module's `architectures`. */
export interface ModelDefinition extends ArchitectureConfig {
  load(context: LoadModelContext): CausalLM
  /** Of a decoder made by `loadDecoder`; what works on single layers, such as a quantizer, needs it. */
  readonly design?: (config: ModelConfig) => DecoderDesign
}
