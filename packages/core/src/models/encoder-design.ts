import type { ModelActivation } from '../config/activation.ts'
import type { ModelConfig } from '../config/model-config.ts'
import type { GatedMlpOptions } from '../layers/gated-mlp.ts'
import type { QkvLinearOptions } from '../layers/linear.ts'
import type { UnusedWeights } from '../loading/unused-weights.ts'
import type { GatedActivationKind } from '../ops/gated-activation.ts'
import type { ClassifierDesigns } from './classifier-design.ts'

/**
 * How one architecture differs from the generic encoder: options and weight names. Names are those of transformers' class
 * without a head, up to the dot before `weight`; those of a block are relative to its layer.
 */
export interface EncoderDesign {
  /** What the classes with a head put before all names of the stack: `bert.`. */
  readonly stack: string
  readonly embedding: string
  /** Learned positions; `null` with rope. */
  readonly positions: string | null
  readonly tokenTypes: string | null
  /** Whether token types tell the texts of a pair apart; RoBERTa's are all 0. */
  readonly hasSegments: boolean
  readonly embeddingNorm: string
  /** `encoder.layer` for tensors `encoder.layer.<i>.…`. */
  readonly layers: string
  readonly norms: EncoderNorms
  readonly attention: {
    readonly qkv: QkvLinearOptions['prefixes']
    readonly output: string
    readonly hasBias: boolean
  }
  readonly mlp: EncoderMlp
  readonly classifiers: ClassifierDesigns
  /** Tensors of its files that it computes without, beside those of `loading/unused-weights.ts`. */
  readonly unused: readonly UnusedWeights[]
}

/** After each sublayer and its residual, as in BERT; or before it, with one more behind the last block. */
export type EncoderNorms =
  | { readonly place: 'after'; readonly attention: string; readonly mlp: string }
  | { readonly place: 'before'; attention(layer: number): string | null; readonly mlp: string; readonly final: string }

export type EncoderMlp =
  | {
      readonly kind: 'plain'
      readonly up: string
      readonly down: string
      readonly hasBias: boolean
      readonly activation: ModelActivation
    }
  | {
      readonly kind: 'gated'
      readonly prefixes: GatedMlpOptions['prefixes']
      readonly down: string
      readonly hasBias: boolean
      readonly activation: GatedActivationKind
    }

/** BERT's design, from which most others differ in names. */
export function bertDesign({ activation }: ModelConfig): EncoderDesign {
  return {
    stack: 'bert.',
    embedding: 'embeddings.word_embeddings',
    positions: 'embeddings.position_embeddings',
    tokenTypes: 'embeddings.token_type_embeddings',
    hasSegments: true,
    embeddingNorm: 'embeddings.LayerNorm',
    layers: 'encoder.layer',
    norms: { place: 'after', attention: 'attention.output.LayerNorm', mlp: 'output.LayerNorm' },
    attention: {
      qkv: { q: 'attention.self.query', k: 'attention.self.key', v: 'attention.self.value' },
      output: 'attention.output.dense',
      hasBias: true,
    },
    mlp: { kind: 'plain', up: 'intermediate.dense', down: 'output.dense', hasBias: true, activation },
    classifiers: {
      texts: {
        dense: { name: 'pooler.dense', hasBias: true, activation: 'tanh', norm: null },
        output: 'classifier',
      },
      tokens: { dense: null, output: 'classifier' },
    },
    unused: [
      { pattern: /(^|\.)pooler\.dense\./, reason: "BERT's pooler, which classifiers read and embeddings do not" },
      { pattern: /^(cls|lm_head)\./, reason: 'the heads of pretraining' },
    ],
  }
}
