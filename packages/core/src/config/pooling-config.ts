import type { PoolingTask } from '../pooling-params.ts'

/** Which of a prompt's hidden states, after the final norm, its vector is made of: the first, the last, or all of them. */
export type PoolingType = (typeof allPoolingTypes)[number]

export const allPoolingTypes = ['cls', 'last', 'mean'] as const

/** What makes scores of a classifier's logits: a sigmoid of each, their softmax, or nothing. */
export type ClassifierActivation = 'sigmoid' | 'softmax' | 'none'

export interface ClassifierConfig {
  readonly numLabels: number
  /** Names of the labels, `LABEL_0` and so on where the checkpoint has no others. */
  readonly labels: readonly string[] // [numLabels]
  /** What a request has with `useActivation`, the default. */
  readonly activation: ClassifierActivation
}

/** A dense layer of a sentence-transformers checkpoint, in a folder of its own. */
export interface DenseConfig {
  readonly folder: string
  readonly inFeatures: number
  readonly outFeatures: number
  readonly hasBias: boolean
  readonly activation: 'tanh' | 'relu' | 'gelu' | 'silu' | 'sigmoid' | 'none'
}

/** What a model offers beside, or in place of, the next token: plain data, the same on the front thread and where it runs. */
export interface PoolingConfig {
  /** Empty for none. */
  readonly tasks: readonly PoolingTask[]
  /** Whether it has a head over the vocabulary; false for encoders, classifiers, and checkpoints made for embedding. */
  readonly canGenerate: boolean
  /** Encoders: all tokens of a prompt see each other, so it is computed in one step, without a KV cache. */
  readonly needsWholePrompts: boolean
  /** Of `embed` and `classify`. */
  readonly type: PoolingType
  /** Embeddings (after `dense` and being cut to `dimensions`) are divided by their L2 norm; a request's `useActivation` goes before it. */
  readonly isNormalized: boolean
  /** Of an embedding: `hiddenSize`, or what the last of `dense` makes of it. */
  readonly dimensions: number
  /** To which lengths embeddings may be cut: these, any up to `dimensions`, or none. */
  readonly matryoshka: readonly number[] | 'any' | null
  /** Between pooling and normalization, in order; `CausalLM.heads.embed` computes them. */
  readonly dense: readonly DenseConfig[]
  /** `null`: the model has no classes. */
  readonly classifier: ClassifierConfig | null
  /** How a classifier reads two texts: as the tokenizer joins pairs, with their token types, or as one text behind the other. */
  readonly pairs: 'tokenizer' | 'concatenated'
  /** Tokens of a prompt at most, where that is less than the model's context. */
  readonly maxTokens: number | null
  /** Texts that a checkpoint wants before others, by name (`query`, `passage`). */
  readonly prompts: Readonly<Record<string, string>>
}
