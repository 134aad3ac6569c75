/** Suites that every implementation of a seam runs; they need vitest. */
export { describeOps } from './ops/ops.case.ts'
export type { DescribeOpsOptions } from './ops/ops.case.ts'
export { RandomData } from './ops/random-data.case.ts'
