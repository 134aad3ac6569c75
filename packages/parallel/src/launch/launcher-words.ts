/** What launchers, and ssh on their behalf, say of hosts and ranks: MPICH's says of a host in no other way that it waits for it in vain. */
import { InvalidConfigError, RankFailedError } from '@octavo/core'
import type { MpiKind } from '../mpi/mpi-kind.ts'
import { nameRanks } from '../process-group-errors.ts'

/** What MPICH's part on another host says before it ends, because it does not reach this one. */
const lostProxy = /unable to connect to server \S+ at port/

/** Whole lines of OpenSSH, after each of which it gives up. */
const sshEnds: readonly RegExp[] = [
  /^ssh: Could not resolve hostname (?<host>\S+): [^\n]*\n/m,
  /^ssh: connect to host (?<host>\S+) port \d+: [^\n]*\n/m,
  /^(?:\S+@)?(?<host>\S+): Permission denied \([^\n]*\n/m,
  /^Host key verification failed\.[^\n]*\n/m,
]

const agentVariables: Readonly<Record<MpiKind, string>> = {
  openmpi: 'OMPI_MCA_plm_rsh_agent',
  mpich: 'HYDRA_LAUNCHER_EXEC',
}

export function saysProxyIsLost(said: string): boolean {
  return lostProxy.test(said)
}

/** That no rank can be started on one of the hosts; `null` where nobody says so. Names are only ssh's to know, or another agent's. */
export function unreachedHost(said: string, kind: MpiKind, hosts: readonly string[]): InvalidConfigError | null {
  const found = sshEnds.map((pattern) => pattern.exec(said)).find((match) => match !== null)
  if (found === undefined) return null
  const name = found.groups?.['host']
  // In lower case, as ssh has it, and from Open MPI without its domain.
  const host = hosts.find((each) => name !== undefined && `${each.toLowerCase()}.`.startsWith(`${name.toLowerCase()}.`))
  const which = host ?? name ?? `one of ${hosts.join(', ')}`
  return new InvalidConfigError(
    'hosts',
    `${which} cannot be reached: "${found[0].trim()}". Launchers start ranks there by ssh: name a host for which "ssh ${host ?? name ?? 'HOST'} true" works without a password, or a program in place of ssh by ${agentVariables[kind]}`,
  )
}

export interface LaunchEnd {
  readonly said: string
  /** Ranks that had not called back. */
  readonly missing: readonly number[]
}

/** Why the launcher ended before all ranks had called back, with the rank that it names; MPICH's names its process. */
export function launchFailure(how: string, { said, missing }: LaunchEnd): RankFailedError {
  const [, killed, ended = killed] = /process rank (\d+) with PID|Process name: \[.*,(\d+)\]/.exec(said) ?? []
  const rank = ended === undefined ? null : Number(ended)
  const name = rank === null ? nameOfProcess(said) : `rank ${rank}`
  const what = name === null ? 'The ranks could not be started' : `${name} failed before it served`
  return new RankFailedError(rank, `${what}: ${how}, and ${nameRanks(missing)} had not called back.${quote(said)}`)
}

function nameOfProcess(said: string): string | null {
  const [, pid, host] = /PID (\d+) RUNNING AT (\S+)/.exec(said) ?? []
  return pid === undefined ? null : `A rank (process ${pid} on ${host})`
}

export function quote(said: string): string {
  return said === '' ? '' : `\n${said}`
}
