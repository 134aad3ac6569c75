import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
import { assert } from '../util/assert.ts'
import { assertMaskFits } from './token-mask.ts'
import { refuseTape, runOp } from './op.ts'

/**
 * Tensor input: `logits` `[n, vocabSize]`, which stay as they are; output int32 `[rows.length]`: token ids, or a code of
 * `noTokenCodes`. There is no composite: a backend without the kernel samples on the host (`sampling/draw-token.ts`), and the
 * kernel must draw the very same tokens.
 */
export const sampleKernel = 'OctavoSample'

/**
 * How the next token of one sequence is drawn, which the host's sampler and the kernel both go by: mask → biases
 * → penalties → temperature → min-p, top-k → top-p → draw.
 */
export interface TokenDraw {
  /**
   * `[⌈vocabSize / 32⌉]` words or fewer, one at least: bit `(mask[id >>> 5] >>> (id & 31)) & 1` is 0 where a token is banned, as
   * those beyond the mask are. null = none are.
   */
  readonly mask: Int32Array | null
  /** Added in this order; -Infinity bans the token. Ids are inside the vocabulary and may repeat. */
  readonly biases: readonly { readonly tokenId: number; readonly value: number }[]
  /** The tokens of prompt and output, each once, with how often they are in the output; null where nothing is penalized. */
  readonly seen: { readonly tokenIds: Int32Array; readonly counts: Int32Array } | null
  readonly repetitionPenalty: number
  readonly frequencyPenalty: number
  readonly presencePenalty: number
  /** `exponentScale` of the temperature (`sampling/weights.ts`); null takes the largest logit. */
  readonly scale: number | null
  /** Drops logits further below the largest: -Infinity = none. */
  readonly minPOffset: number
  /** Drops logits below the k-th largest; 0 = off. */
  readonly topK: number
  readonly topP: number
  /** In [0, 1): where the draw falls. */
  readonly uniform: number
}

/** Why no token can be drawn: a logit is NaN, or every token is banned. */
export type NoToken = 'nan' | 'all-banned'

/** What a kernel writes in place of a token id. */
export const noTokenCodes: Readonly<Record<NoToken, number>> = { 'all-banned': -1, nan: -2 }

export interface SampleRow {
  /** Which row of the logits. */
  readonly row: number
  readonly draw: TokenDraw
}

export interface SampleAttrs {
  readonly rows: readonly SampleRow[]
}

/**
 * A token id per entry of `rows`, or why there is none. The active backend must have the kernel (`hasKernel`).
 * @throws NoGradientError under a gradient tape.
 */
export function sample(logits: Tensor2D, rows: readonly SampleRow[]): (number | NoToken)[] {
  refuseTape('sample', 'Draw tokens before the tape starts, or after it ended.')
  for (const { row, draw } of rows) {
    assert(row >= 0 && row < logits.shape[0], `sample: row ${row} of ${logits.shape[0]}`)
    if (draw.mask !== null) assertMaskFits(draw.mask, logits.shape[1])
  }
  const drawn = runOp<Tensor1D>(sampleKernel, { logits }, { rows } satisfies SampleAttrs)
  const tokenIds = drawn.dataSync<'int32'>()
  drawn.dispose()
  return Array.from(tokenIds, (id) => (id >= 0 ? id : id === noTokenCodes.nan ? 'nan' : 'all-banned'))
}
