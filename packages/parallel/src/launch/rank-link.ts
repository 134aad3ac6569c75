import type { MachineShare } from '@octavo/core/engine'
import type { FromRank, ToRank } from '../rank/rank-messages.ts'

/** The way to one rank. */
export interface RankLink {
  /** For people: `rank 1`, `rank 1 (process 4711 on h1)`. */
  readonly name: string
  /** `null` = the driver's. */
  readonly host: string | null
  readonly share: MachineShare
  /** CPUs that it may use together with the ranks that share them. */
  readonly numCpus: number
  post(message: ToRank): void
}

/** Ranks that have been started and wait for what is asked of them. */
export interface LaunchedRanks {
  readonly links: readonly RankLink[]
  /** What `RankSetup.threadGroup` is. */
  readonly threadGroup: unknown
  /** Ranks that wait for each other do so no longer, where they can be reached. */
  abort(reason: string): void
  /** Lets them go, or ends those that do not; resolves, within seconds, when nothing of them is left. */
  end(isFailure: boolean): Promise<void>
}

/** What is heard of ranks; nothing after they were told to end. */
export interface RankEvents {
  onMessage(rank: number, message: FromRank): void
  /** `rank` is `null` where nobody can tell whose fault it is. */
  onLost(rank: number | null, reason: Error): void
}

/** Starts all ranks, or none and throws. */
export type LaunchRanks = (events: RankEvents) => Promise<LaunchedRanks>
