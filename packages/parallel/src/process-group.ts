/** How the values of a reduction are joined; sums are taken in rank order. */
export type ReduceOp = 'sum' | 'max'
