/** Suites that every implementation of a seam runs; they need vitest and fast-check. */
export { describeBatchInvariance } from './engine/batch-invariance.case.ts'
export type { DescribeBatchInvarianceOptions } from './engine/batch-invariance.case.ts'
export { describeGolden } from './models/golden.case.ts'
export type { DescribeGoldenOptions } from './models/golden.case.ts'
export { describeOps } from './ops/ops.case.ts'
export type { DescribeOpsOptions } from './ops/ops.case.ts'
export { RandomData } from './ops/random-data.case.ts'
export { describeSampling } from './sampling/sample.case.ts'
