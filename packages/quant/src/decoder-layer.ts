import type { Tensor2D, Tensor3D } from '@tensorflow/tfjs-core'
import type { DecoderDesign, LinearRole, ModelConfig } from '@octavo/core/model'
import type { GroupedWeight } from '@octavo/core/quantization'
import type { ActivationScheme, KvCacheScheme } from './weight-scheme.ts'

/** A linear layer as the checkpoint has it: fused ones are one module, each expert's projections are modules. */
export interface LayerModule {
  /** In full, up to the dot before `weight`: `model.layers.3.self_attn.q_proj`. */
  readonly name: string
  readonly role: LinearRole
  /** Output features. */
  readonly rows: number
  /** Input features. */
  readonly cols: number
  /** What it was quantized to; `null` while it is as it was. */
  readonly quantized: GroupedWeight | null
  /** `[rows, cols]` as it computes now: a copy, the caller's to change. */
  weight(): Float32Array
  /** For transforms that leave it unquantized, such as smoothing. The array is the module's from now on. */
  setWeight(values: Float32Array): void
  /** From now on the layer computes with this, and this is what is saved. */
  setQuantized(weight: GroupedWeight): void
  /** How what runs the saved model rounds this module's inputs, where it does; here they stay as they are. */
  setInputActivations(scheme: ActivationScheme | null): void
}

/** What a module was given in a batch. */
export interface ModuleInput {
  readonly module: LayerModule
  /** `[n, cols]`; gone when the call returns. Of an expert: the rows that the router sent to it. */
  readonly input: Tensor2D
}

/** The two halves of a decoder layer, without their norms: all of attention, and the MLP or mixture of experts. */
export type SublayerKind = 'attention' | 'mlp'

/** What a sublayer was given in a batch, behind the norm before it. */
export interface SublayerInput {
  readonly kind: SublayerKind
  /** Whose tokens these are: `runSublayer` needs it to know where sequences begin. */
  readonly batch: number
  /** `[numTokens, hiddenSize]`, masked tokens included; gone when the call returns. */
  readonly input: Tensor2D
}

/** What a layer puts into the KV cache in a batch; gone when the call returns. */
export interface CacheRows {
  /** `[numTokens, numKvHeads, headDim]`, as queries meet them: behind norms and rotary embedding. */
  readonly keys: Tensor3D
  readonly values: Tensor3D
}

/** Scales of a layer's keys and values that are the same for all tokens: by strategy one, or one for each head. */
export interface CacheScales {
  readonly scheme: KvCacheScheme
  readonly keys: Float32Array
  readonly values: Float32Array
}

/**
 * One decoder layer in memory, with the calibration activations that reach it: what a pass works on. The embedding and the
 * head, where they are asked for, come as layers of one module and without sublayers.
 */
export interface DecoderLayer {
  readonly kind: 'decoder' | 'embedding' | 'head'
  /** Place among those of its kind. */
  readonly index: number
  /** `model.layers.3`; of embedding and head, the module's own. */
  readonly name: string
  readonly config: ModelConfig
  readonly design: DecoderDesign
  readonly modules: readonly LayerModule[]
  /** A number of its own for each layer and each seed of the pipeline. */
  readonly seed: number
  /** Whether there are calibration tokens: `observe` refuses without. */
  readonly hasCalibration: boolean
  /** Batches that `observe` goes through, in this order. */
  readonly numBatches: number
  /** Tokens of a batch, masked ones included. */
  numTokens(batch: number): number
  /** Norm weights and biases by name in full, as float32: a copy, the caller's to change. `null`: it has none of this name. */
  vector(name: string): Float32Array | null
  setVector(name: string, values: Float32Array): void
  /** What the checkpoint keeps of such values for this vector, in whose dtype they are saved. */
  toStored(name: string, values: Float32Array): Float32Array
  /**
   * Runs the layer as it is now over all calibration tokens, masked ones left out of what is shown. Modules of the same input
   * are shown one after the other with the same values.
   *
   * @throws QuantizationError without calibration
   */
  observe(watch: (given: ModuleInput) => void): Promise<void>
  /** As `observe`, of the inputs of attention and MLP; masked tokens are in them, as attention needs all of a sequence. */
  observeSublayers(watch: (given: SublayerInput) => void): Promise<void>
  /** What a sublayer, with its weights of this moment, makes of `input` → `[numTokens, hiddenSize]`, the caller's to dispose. */
  runSublayer(given: SublayerInput): Tensor2D
  /** As `observe`, of keys and values; masked tokens are in them, as the cache of whoever runs the model has to hold them too. */
  observeCache(watch: (given: CacheRows) => void): Promise<void>
  /** What was set; the layer itself computes without. */
  readonly cacheScales: CacheScales | null
  /** They are saved beside the layer's weights. */
  setCacheScales(scales: CacheScales): void
  /** The rows of a batch that count, in order; `null`: all of them. */
  shownRows(batch: number): Int32Array | null
}

/** A pass over a layer; layers come in order, and each is given what the finished ones before it compute. */
export interface LayerPass {
  (layer: DecoderLayer): void | Promise<void>
  /**
   * What tells this pass from another, as plain data: an interrupted run goes on only with the passes that it began with.
   * Default: the function's source, which doesn't show what it has captured.
   */
  readonly identity?: unknown
  /** Whether it is there to quantize modules: a run in which none is has been told wrong names. Default false. */
  readonly quantizes?: boolean
  /** Whether it looks at activations, so that it needs calibration. Default false: it may, where there is some. */
  readonly needsCalibration?: boolean
}

export interface PassDescription extends Pick<LayerPass, 'needsCalibration' | 'quantizes'> {
  readonly name: string
  readonly options: unknown
}

/** A pass with a name and the options that make it what it is. */
export function definePass(
  { name, options, needsCalibration = false, quantizes = false }: PassDescription,
  run: (layer: DecoderLayer) => void | Promise<void>,
): LayerPass {
  return Object.assign((layer: DecoderLayer) => run(layer), {
    identity: { name, options },
    needsCalibration,
    quantizes,
  })
}
