import type { ModelActivation } from '../config/activation.ts'
import type { ModelConfig } from '../config/model-config.ts'
import { UnsupportedModelError } from '../errors.ts'
import type { QkvLinearOptions } from '../layers/linear.ts'
import type { ExpertNames, MoeOptions } from '../layers/moe.ts'
import type { UnusedWeights } from '../loading/unused-weights.ts'
import type { FusedGatedKind, GatedActivationKind } from '../ops/gated-activation.ts'
import type { ClassifierDesigns } from './classifier-design.ts'

/**
 * How one architecture differs from the generic decoder: options and weight names. Names are those of transformers' class,
 * in full, up to the dot before `weight`; those of a block are relative to its layer. Files that leave out the stack's
 * prefix, or have another in its place, are read under these names too.
 */
export interface DecoderDesign {
  /** What the names of all tensors of the stack begin with. */
  readonly stack: string
  readonly embedding: string
  /** Learned positions, added to the token embeddings. */
  readonly positions: string | null
  /** Token embeddings are multiplied by it. */
  readonly embeddingScale: number | null
  readonly finalNorm: string
  readonly lmHead: string
  readonly finalSoftcap: number | null
  /** What stands in the head's place in classes ForSequenceClassification and ForTokenClassification. */
  readonly classifiers: ClassifierDesigns
  readonly norm: NormDesign
  /** `model.layers` for tensors `model.layers.<i>.…`. */
  readonly layers: string
  /** The matrices that files store `[in, out]`: Conv1D, some experts. Every expert has a name of its own here. */
  readonly inOut: RegExp | null
  /** Tensors of its files that it computes without, beside those of `loading/unused-weights.ts`. */
  readonly unused: readonly UnusedWeights[]
  readonly block: BlockNorms
  readonly attention: AttentionDesign
  mlp(layer: number): MlpDesign
}

export interface NormDesign {
  readonly kind: 'rms' | 'layer'
  /** Gemma's `1 + w`. */
  readonly hasUnitOffset: boolean
}

/** The norms around a block's two sublayers; which of them exist makes a model pre-norm, post-norm or both. */
export interface BlockNorms {
  readonly beforeAttention: string | null
  readonly afterAttention: string | null
  readonly beforeMlp: string | null
  readonly afterMlp: string | null
}

export interface AttentionDesign {
  readonly qkv: QkvLinearOptions['prefixes']
  readonly output: string
  readonly hasQkvBias: boolean
  readonly hasOutputBias: boolean
  readonly qkNorm: { readonly over: 'head' | 'projection'; readonly q: string; readonly k: string } | null
  readonly hasRope: boolean
  scale(layer: number): number
  readonly softcap: number | null
  readonly sinks: string | null
}

export type MlpDesign =
  | {
      readonly kind: 'gated'
      readonly prefixes: { readonly gate: string; readonly up: string } | { readonly gateUp: string }
      readonly down: string
      readonly hasBias: boolean
      readonly activation: GatedActivationKind
    }
  | {
      readonly kind: 'plain'
      readonly up: string
      readonly down: string
      readonly hasBias: boolean
      readonly activation: ModelActivation
    }
  | MoeDesign

export interface MoeDesign extends Pick<
  MoeOptions,
  'scoring' | 'renormalize' | 'activation' | 'hasRouterBias' | 'hasExpertBias' | 'isInterleaved'
> {
  readonly kind: 'moe'
  readonly router: string
  /** Full names under the layer's `prefix`; `has` tells which of several layouts the checkpoint uses. */
  expert(prefix: string, index: number, has: (name: string) => boolean): ExpertNames
}

/** Llama's design, from which most others differ in a few lines. */
export function llamaDesign(config: ModelConfig): DecoderDesign {
  return {
    stack: 'model.',
    embedding: 'model.embed_tokens',
    positions: null,
    embeddingScale: null,
    finalNorm: 'model.norm',
    lmHead: 'lm_head',
    finalSoftcap: null,
    classifiers: { texts: { dense: null, output: 'score' }, tokens: { dense: null, output: 'score' } },
    norm: { kind: 'rms', hasUnitOffset: false },
    layers: 'model.layers',
    inOut: null,
    unused: [],
    block: {
      beforeAttention: 'input_layernorm',
      afterAttention: null,
      beforeMlp: 'post_attention_layernorm',
      afterMlp: null,
    },
    attention: {
      qkv: { q: 'self_attn.q_proj', k: 'self_attn.k_proj', v: 'self_attn.v_proj' },
      output: 'self_attn.o_proj',
      hasQkvBias: config.hasAttentionBias,
      hasOutputBias: config.hasAttentionBias,
      qkNorm: null,
      hasRope: true,
      scale: () => config.headDim ** -0.5,
      softcap: null,
      sinks: null,
    },
    mlp: () => gatedMlp(config),
  }
}

export function gatedMlp(config: ModelConfig): MlpDesign {
  return {
    kind: 'gated',
    prefixes: { gate: 'mlp.gate_proj', up: 'mlp.up_proj' },
    down: 'mlp.down_proj',
    hasBias: config.hasMlpBias,
    activation: config.activation,
  }
}

/** Of experts, which run in one kernel. */
export function expertKind({ activation, file }: ModelConfig): FusedGatedKind {
  if (activation !== 'relu') return activation
  throw new UnsupportedModelError(`${file}: experts with relu are not supported; known are silu and gelu.`)
}

/**
 * A mixture of experts whose projections are either stored one by one (`<experts>.3.<gate>.weight`) or stacked, as newer
 * files have them (`<experts>.gate_up_proj` `[numExperts, 2 * intermediateSize, hiddenSize]`), or as GGUF does.
 */
export function moeMlp(
  config: ModelConfig,
  names: {
    readonly router: string
    readonly experts: string
    readonly gate: string
    readonly up: string
    readonly down: string
  },
  renormalize: boolean,
): MoeDesign {
  return {
    kind: 'moe',
    router: names.router,
    hasRouterBias: false,
    hasExpertBias: false,
    isInterleaved: false,
    scoring: 'softmax',
    renormalize,
    activation: expertKind(config),
    expert(prefix, index, has) {
      const one = `${prefix}${names.experts}.${index}`
      return has(`${one}.gate_up_proj.weight`)
        ? { gateUp: [`${one}.gate_up_proj`], down: `${one}.down_proj` }
        : { gateUp: [`${one}.${names.gate}`, `${one}.${names.up}`], down: `${one}.${names.down}` }
    },
  }
}
