import { InvalidConfigError } from '@octavo/core'
import { currentEnvironment, type ParallelEnvironment } from './parallel-env.ts'

export type RankSource = 'torchrun' | 'openmpi' | 'pmi' | 'slurm' | 'lws'

/** What a launcher told this process. */
export interface RankEnvironment {
  readonly source: RankSource
  readonly rank: number
  readonly worldSize: number
  /** Place and number of the ranks on this host; `null` where the launcher does not say. */
  readonly localRank: number | null
  readonly localSize: number | null
  readonly masterAddress: string | null
  readonly masterPort: number | null
}

type Environment = ParallelEnvironment

interface LauncherVariables {
  readonly source: RankSource
  readonly rank: string
  readonly worldSize: string
  readonly localRank?: string
  readonly localSize?: string
  readonly masterAddress?: string
  readonly masterPort?: string
}

/** The first that is set counts: a launcher inside another one is the nearer. */
const launchers: readonly LauncherVariables[] = [
  {
    source: 'torchrun',
    rank: 'RANK',
    worldSize: 'WORLD_SIZE',
    localRank: 'LOCAL_RANK',
    localSize: 'LOCAL_WORLD_SIZE',
    masterAddress: 'MASTER_ADDR',
    masterPort: 'MASTER_PORT',
  },
  {
    source: 'openmpi',
    rank: 'OMPI_COMM_WORLD_RANK',
    worldSize: 'OMPI_COMM_WORLD_SIZE',
    localRank: 'OMPI_COMM_WORLD_LOCAL_RANK',
    localSize: 'OMPI_COMM_WORLD_LOCAL_SIZE',
  },
  {
    source: 'pmi',
    rank: 'PMI_RANK',
    worldSize: 'PMI_SIZE',
    localRank: 'MPI_LOCALRANKID',
    localSize: 'MPI_LOCALNRANKS',
  },
  // A batch script has SLURM_PROCID and SLURM_NTASKS too, and is no rank: only srun sets a step's number of tasks.
  {
    source: 'slurm',
    rank: 'SLURM_PROCID',
    worldSize: 'SLURM_STEP_NUM_TASKS',
    localRank: 'SLURM_LOCALID',
    masterAddress: 'SLURM_LAUNCH_NODE_IPADDR',
  },
  { source: 'lws', rank: 'LWS_WORKER_INDEX', worldSize: 'LWS_GROUP_SIZE', masterAddress: 'LWS_LEADER_ADDRESS' },
]

/** Which rank this process is, or `null` where no launcher says so. */
export function parseRankEnvironment(env: Environment = currentEnvironment()): RankEnvironment | null {
  const launcher = launchers.find(({ rank, worldSize }) => isSet(env[rank]) && isSet(env[worldSize]))
  if (launcher === undefined) {
    refuseHalf(env)
    return null
  }
  const worldSize = parseCount(env, launcher.worldSize, { min: 1 })
  const rank = parseCount(env, launcher.rank, { min: 0, below: worldSize, of: launcher.worldSize })
  const optional = (name: string | undefined, min: number) =>
    name === undefined || !isSet(env[name]) ? null : parseCount(env, name, { min })
  return Object.freeze({
    source: launcher.source,
    rank,
    worldSize,
    localRank: optional(launcher.localRank, 0),
    localSize: optional(launcher.localSize, 1),
    masterAddress: (launcher.masterAddress !== undefined && env[launcher.masterAddress]) || null,
    masterPort: optional(launcher.masterPort, 1),
  })
}

function isSet(value: string | undefined): value is string {
  return value !== undefined && value !== ''
}

/** Torchrun's names are common words; half of a pair is more likely a mistake than another program's. */
function refuseHalf(env: Environment): void {
  for (const [present, missing] of [
    ['RANK', 'WORLD_SIZE'],
    ['WORLD_SIZE', 'RANK'],
  ] as const)
    if (isSet(env[present]))
      throw new InvalidConfigError(
        present,
        `is ${env[present]}, but ${missing} is not set. Set both, or unset ${present} where this process is no rank.`,
      )
}

interface CountLimits {
  readonly min: number
  readonly below?: number
  /** The variable that says `below`. */
  readonly of?: string
}

function parseCount(env: Environment, name: string, { min, below, of }: CountLimits): number {
  const text = env[name] ?? ''
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < min || !Number.isSafeInteger(value))
    throw new InvalidConfigError(name, `is "${text}"; a launcher sets a whole number of at least ${min}.`)
  if (below !== undefined && value >= below)
    throw new InvalidConfigError(name, `is ${value}, but ${of} is ${below}: ranks go from 0 to ${below - 1}.`)
  return value
}

/** The variable by which a driver tells the processes that a launcher starts for it where to call back. */
const driverVariable = 'OCTAVO_RANK_DRIVER'

/** This process's variables for a launcher, with the driver's message to the ranks. */
export function launchEnvironment(driver: unknown, env: Environment = currentEnvironment()): NodeJS.ProcessEnv {
  return { ...env, [driverVariable]: JSON.stringify(driver) }
}

/** What the driver said to this rank; not checked. @throws InvalidConfigError where there is none */
export function parseDriverMessage(env: Environment = currentEnvironment()): unknown {
  const text = env[driverVariable]
  if (!isSet(text))
    throw new InvalidConfigError(
      driverVariable,
      'is not set: a driver sets it for the ranks that it starts; octavo starts them by --executor mpi.',
    )
  return JSON.parse(text)
}

/** Whether an MPI launcher started this process as one of several. */
export function isMpiRank(env: Environment = currentEnvironment()): boolean {
  return Number(env['OMPI_COMM_WORLD_SIZE'] ?? env['PMI_SIZE'] ?? 1) > 1
}
