import type { PoolingType } from '../config/pooling-config.ts'

/** What is made of a prompt's hidden states in place of the next token: plain data that crosses threads. */
export interface SequencePooling {
  /** What follows pooling: the layers of embeddings, or the classifier. */
  readonly head: 'embed' | 'classify'
  /** Of which tokens the vector is made; 'all': each has one. */
  readonly type: PoolingType | 'all'
  /** The first so many numbers; `null`: all. */
  readonly dimensions: number | null
  readonly activation: 'normalize' | 'softmax' | 'sigmoid' | 'none'
}

/** What came of it, in float32: `[n]`, or `[numTokens, n]` where each token has a vector. */
export interface PooledData {
  readonly data: Float32Array
  readonly shape: readonly number[]
}
