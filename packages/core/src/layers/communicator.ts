import type { Tensor } from '@tensorflow/tfjs-core'

/** What a layer needs of a group of ranks. `parallel` implements it over threads and MPI. */
export interface Communicator {
  readonly rank: number
  readonly size: number
  /** Element-wise sum over the ranks. Consumes nothing: the caller disposes `x`. */
  allReduce<T extends Tensor>(x: T): T
  /** Concatenation over the ranks along `axis`. */
  allGather<T extends Tensor>(x: T, axis: number): T
}

export const singleRank: Communicator = {
  rank: 0,
  size: 1,
  allReduce: (x) => x,
  allGather: (x) => x,
}
