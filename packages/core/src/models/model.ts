import type { Tensor2D } from '@tensorflow/tfjs-core'
import type { BackendPack } from '../backends/backend-pack.ts'
import type { ModelConfig } from '../config/model-config.ts'
import type { Communicator } from '../layers/communicator.ts'
import type { WeightSource } from '../loading/weight-source.ts'
import type { AttentionMetadata } from '../ops/attention-metadata.ts'
import type { DType } from '../tensor/dtype.ts'
import type { KvStorage } from '../tensor/kv-storage.ts'

export interface KvShape {
  readonly numLayers: number
  readonly numKvHeads: number
  readonly headDim: number
}

/** A loaded decoder. Both calls run inside the caller's `tf.tidy`. */
export interface CausalLM {
  readonly config: ModelConfig
  readonly kvShape: KvShape
  readonly weightBytes: number
  /** ids `[numTokens]` → final hidden states `[numTokens, hiddenSize]`, after the last norm; writes K and V of every layer. */
  forward(inputIds: Int32Array, attention: AttentionMetadata, kv: KvStorage): Tensor2D
  /** Rows of `hidden` `[n, hiddenSize]` → logits `[n, vocabSize]`. */
  computeLogits(hidden: Tensor2D): Tensor2D
  dispose(): void
}

export interface LoadModelContext {
  readonly config: ModelConfig
  readonly source: WeightSource
  readonly pack: BackendPack
  /** 'auto' keeps each weight as stored; otherwise weights are converted at load. */
  readonly dtype: DType | 'auto'
  readonly communicator: Communicator
  readonly onProgress?: (loadedBytes: number, totalBytes: number) => void
}

/** One HF architecture: one file under `models/`, one line in `registry.ts`. */
export interface ModelDefinition {
  load(context: LoadModelContext): CausalLM
}
