/** What an engine needs to run its model on several ranks, without what the ranks themselves are made of: `@octavo/parallel/executor`. */
export { parallelExecutor, parallelModules, serveIfLaunched } from './executor-module.ts'
export { findMpiLibraries } from './mpi/find-mpi-libraries.ts'
export type { MpiLibrary } from './mpi/find-mpi-libraries.ts'
export { parallelOptionTable } from './parallel-option-table.ts'
export type { ParallelOptions } from './parallel-option-table.ts'
