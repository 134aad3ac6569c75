/** One model over many ranks: the public names of `@octavo/parallel`, listed one by one. */
export { initProcessGroup, newGroup } from './init-process-group.ts'
export type { InitMpiGroupOptions, InitProcessGroupOptions, InitThreadGroupOptions } from './init-process-group.ts'
export type {
  AllToAllOptions,
  BroadcastOptions,
  CollectiveOptions,
  GroupBuffer,
  ProcessGroup,
  RecvOptions,
  ReduceOp,
  ReduceOptions,
  SendOptions,
  Work,
  WorldProcessGroup,
} from './process-group.ts'
export { createFakeGroups } from './groups/fake-group.ts'
export type { FakeGroups } from './groups/fake-group.ts'
export { createThreadGroup } from './groups/thread-memory.ts'
export type { ThreadGroupHandle } from './groups/thread-memory.ts'
export { abortThreadGroup } from './groups/thread-world.ts'
export { createAbortFlag, raiseAbortFlag } from './mpi/mpi-world.ts'
export { findMpiLibraries } from './mpi/find-mpi-libraries.ts'
export type { MpiLauncher, MpiLibrary } from './mpi/find-mpi-libraries.ts'
export { candidateLibraries, launcherKind } from './mpi/mpi-kind.ts'
export type { MpiKind, MpiVersion } from './mpi/mpi-kind.ts'
export {
  CollectiveMismatchError,
  CollectiveTimeoutError,
  CommunicationError,
  MpiError,
  MpiLibraryError,
  ProcessGroupAbortedError,
} from './process-group-errors.ts'
export type { Abort, FailedCall } from './process-group-errors.ts'
export { initDeviceMesh, meshCoordinates, meshGroups, resolveMeshSizes } from './device-mesh.ts'
export type { DeviceMesh, MeshDimension, MeshSizes } from './device-mesh.ts'
export { parseRankEnvironment } from './rank-environment.ts'
export type { RankEnvironment, RankSource } from './rank-environment.ts'
export { createCommunicator } from './tensor-communicator.ts'
export { layerCosts, resolveLayerRanges } from './layer-ranges.ts'
export type { LayerCosts, LayerRangeOptions } from './layer-ranges.ts'
