/** One model over many ranks: the public names of `@octavo/parallel`, listed one by one. */
export type { ReduceOp } from './process-group.ts'
