import type { Tensor2D } from '@tensorflow/tfjs-core'
import type { LinearRole, ModelConfig } from '@octavo/core/model'
import type { GroupedWeight } from '@octavo/core/quantization'

/** A linear layer as the checkpoint has it: fused ones are one module, each expert's projections are modules. */
export interface LayerModule {
  /** In full, up to the dot before `weight`: `model.layers.3.self_attn.q_proj`. */
  readonly name: string
  readonly role: LinearRole
  readonly rows: number
  readonly cols: number
  /** What it was quantized to; `null` while it is as it was. */
  readonly quantized: GroupedWeight | null
  /** `[rows, cols]` as it computes now: the caller's to change. */
  weight(): Float32Array
  /** For transforms that leave it unquantized, such as smoothing. */
  setWeight(values: Float32Array): void
  /** From now on the layer computes with this, and this is what is saved. */
  setQuantized(weight: GroupedWeight): void
}

/** What a module was given in a batch. */
export interface ModuleInput {
  readonly module: LayerModule
  /** `[n, cols]`; gone when the call returns. Of an expert: the rows that the router sent to it. */
  readonly input: Tensor2D
}

/** One decoder layer in memory, with the calibration activations that reach it: what a pass works on. */
export interface DecoderLayer {
  readonly index: number
  /** `model.layers.3`. */
  readonly name: string
  readonly config: ModelConfig
  readonly modules: readonly LayerModule[]
  /** Norm weights and biases by name in full, as float32. */
  vector(name: string): Float32Array | null
  setVector(name: string, values: Float32Array): void
  /** Runs the layer as it is now over all calibration tokens, masked ones left out of what is shown. */
  observe(watch: (given: ModuleInput) => void): Promise<void>
}

/** A pass over a layer; layers come in order, and each is given what the finished ones before it compute. */
export type LayerPass = (layer: DecoderLayer) => void | Promise<void>
