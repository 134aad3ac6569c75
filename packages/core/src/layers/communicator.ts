import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core'

/**
 * What a layer needs of a group of ranks, all of which make the same calls in the same order. `parallel` implements it over
 * threads and MPI. Nothing is consumed: the caller disposes what it gives and what it gets.
 */
export interface Communicator {
  readonly rank: number
  readonly size: number
  /**
   * Element-wise sum over the ranks, the same bits on each. INVARIANT: in the order of ranks, rounded to float32 after each
   * addition, `((r0 + r1) + r2) + …`, whatever the size: batch invariance rests on it. All ranks give the same shape.
   */
  allReduce<T extends Tensor>(x: T): T
  /** Concatenation along `axis`, in the order of ranks. All ranks give the same shape. */
  allGather<T extends Tensor>(x: T, axis: number): T
  /**
   * Rows from every rank to every rank. The first `inputRows[0]` rows of `x` `[sum of inputRows, cols]` go to rank 0, the next
   * `inputRows[1]` to rank 1, …; the result `[sum of outputRows, cols]` has the `outputRows[0]` rows that rank 0 sent here, then
   * those of rank 1, …, each in the order in which they were sent. `inputRows[j]` of rank i is `outputRows[i]` of rank j. Any of
   * them may be 0, and so may their sum: a tensor `[0, cols]` goes in and comes out, and the rank takes part none the less.
   */
  allToAll(x: Tensor2D, inputRows: readonly number[], outputRows: readonly number[]): Tensor2D
}

export const singleRank: Communicator = {
  rank: 0,
  size: 1,
  allReduce: (x) => x,
  allGather: (x) => x,
  allToAll: (x) => x,
}
