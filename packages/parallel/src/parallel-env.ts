/** The variables that this package knows, for docs/environment.md; a launcher sets all but the first two. */
export const parallelEnvironmentTable = {
  MPI_LIBRARY: 'The MPI library that ranks open, by path or name; that of the launcher where it is not set.',
  PATH: 'Where `mpirun` and `mpiexec` are looked for.',
  OCTAVO_RANK_DRIVER: 'What Octavo tells the ranks that it starts: where to call back, and a token.',
  OMPI_COMM_WORLD_RANK: "Open MPI's launcher: which rank this is, with `_SIZE`, `_LOCAL_RANK` and `_LOCAL_SIZE`.",
  PMIX_RANK: "Open MPI's launcher: that it is one.",
  PMI_RANK: "MPICH's launcher: which rank this is, with `PMI_SIZE`, `MPI_LOCALRANKID` and `MPI_LOCALNRANKS`.",
  SLURM_PROCID:
    "Slurm's `srun`: which rank this is, with `SLURM_STEP_NUM_TASKS`, `SLURM_LOCALID` and `SLURM_LAUNCH_NODE_IPADDR`.",
  LWS_WORKER_INDEX:
    'A LeaderWorkerSet of Kubernetes: which rank this is, with `LWS_GROUP_SIZE` and `LWS_LEADER_ADDRESS`.',
  RANK: "Torchrun's: which rank this is, with `WORLD_SIZE`, `LOCAL_RANK`, `LOCAL_WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT`.",
} as const

export type ParallelEnvironment = Readonly<Record<string, string | undefined>>

/** The only user of `process.env` in this package. */
export function currentEnvironment(): ParallelEnvironment {
  return process.env
}
