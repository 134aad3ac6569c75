import os from 'node:os'
import { type CpuMask, readCpuMask } from './cpu-mask.ts'

/** What a rank's process says first. */
export interface Hello {
  readonly host: string
  readonly pid: number
  readonly numCpus: number
  /** Those CPUs, by the host's numbers; `null` where the system does not say. */
  readonly cpus: CpuMask | null
}

export function createHello(): Hello {
  return { host: os.hostname(), pid: process.pid, numCpus: os.availableParallelism(), cpus: readCpuMask() }
}
