import { readFileSync } from 'node:fs'
import os from 'node:os'
import { InvalidConfigError, type MachineShare, wholeMachine } from '@octavo/core/backend'
import { readNativeEnv } from './native-env.ts'

const maxThreads = 1024

/** The option, else OCTAVO_THREADS, else as many as this rank may use at once beside the others of the machine. */
export function resolveThreadCount(
  option: number | undefined,
  fromEnv = readNativeEnv().threads,
  share?: MachineShare,
): number {
  if (option !== undefined) return checkThreads('threads', option, option)
  if (fromEnv !== null) return checkThreads('OCTAVO_THREADS', Number(fromEnv), fromEnv)
  return availableThreads(share)
}

function checkThreads(name: string, threads: number, given: number | string): number {
  if (Number.isInteger(threads) && threads >= 1 && threads <= maxThreads) return threads
  throw new InvalidConfigError(name, `must be an integer from 1 to ${maxThreads}, got ${JSON.stringify(given)}`)
}

/** A share of the CPUs that the scheduler may give this process, less where that of its control group's quota is smaller. */
export function availableThreads(
  { numLocalWorkers, numCpuWorkers }: MachineShare = wholeMachine,
  readText: (file: string) => string | null = readSystemFile,
): number {
  const cpus = os.availableParallelism() / numCpuWorkers
  const quota = (cgroupCpus(readText) ?? Infinity) / numLocalWorkers
  return Math.max(1, Math.min(maxThreads, Math.floor(Math.min(cpus, quota))))
}

/** The CPU time per time that the control group allows (version 2, then 1), or null for no limit. */
function cgroupCpus(readText: (file: string) => string | null): number | null {
  const [quota, period] = readText('/sys/fs/cgroup/cpu.max')?.trim().split(' ') ?? [
    readText('/sys/fs/cgroup/cpu/cpu.cfs_quota_us'),
    readText('/sys/fs/cgroup/cpu/cpu.cfs_period_us'),
  ]
  const cpus = Number(quota ?? NaN) / Number(period ?? NaN)
  return Number.isFinite(cpus) && cpus > 0 ? cpus : null
}

function readSystemFile(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return null
  }
}
