import type { ModelActivation, ModelConfig } from '../config/model-config.ts'
import { UnsupportedModelError } from '../errors.ts'
import type { QkvLinearOptions } from '../layers/linear.ts'
import type { ExpertWeights, MoeOptions } from '../layers/moe.ts'
import type { FusedGatedKind, GatedActivationKind } from '../ops/gated-activation.ts'

/**
 * How one architecture differs from the generic decoder: options and weight names. Names leave out the prefix that all
 * tensors of the stack share (`model.`, `transformer.` or none); those under `layer` are relative to one layer.
 */
export interface DecoderDesign {
  readonly embedding: string
  /** Learned positions, added to the token embeddings. */
  readonly positions: string | null
  /** Token embeddings are multiplied by it. */
  readonly embeddingScale: number | null
  readonly finalNorm: string
  /** In full: it stands beside the stack. */
  readonly lmHead: string
  readonly finalSoftcap: number | null
  readonly norm: NormDesign
  /** `layers` for tensors `layers.<i>.…`. */
  readonly layers: string
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
  /** Conv1D weights, `[in, out]`. */
  readonly isTransposed: boolean
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
      readonly isTransposed: boolean
      readonly activation: ModelActivation
    }
  | MoeDesign

export interface MoeDesign extends Pick<MoeOptions, 'scoring' | 'renormalize' | 'activation' | 'hasRouterBias'> {
  readonly kind: 'moe'
  readonly router: string
  /** Full names under the layer's `prefix`; `has` tells which of several layouts the checkpoint uses. */
  expert(prefix: string, index: number, has: (name: string) => boolean): ExpertWeights
}

/** Llama's design, from which most others differ in a few lines. */
export function llamaDesign(config: ModelConfig): DecoderDesign {
  return {
    embedding: 'embed_tokens',
    positions: null,
    embeddingScale: null,
    finalNorm: 'norm',
    lmHead: 'lm_head',
    finalSoftcap: null,
    norm: { kind: 'rms', hasUnitOffset: false },
    layers: 'layers',
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
      isTransposed: false,
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
    scoring: 'softmax',
    renormalize,
    activation: expertKind(config),
    expert(prefix, index, has) {
      const experts = prefix + names.experts
      const plain = { isTransposed: false, isInterleaved: false, gateUpBias: null, downBias: null }
      if (has(`${experts}.gate_up_proj`))
        return { ...plain, gateUp: [`${experts}.gate_up_proj`], down: `${experts}.down_proj`, index }
      const one = `${experts}.${index}`
      return {
        ...plain,
        gateUp: [`${one}.${names.gate}.weight`, `${one}.${names.up}.weight`],
        down: `${one}.${names.down}.weight`,
        index: null,
      }
    },
  }
}
