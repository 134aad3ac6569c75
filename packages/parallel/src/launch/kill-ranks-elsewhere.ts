import { spawn } from 'node:child_process'
import os from 'node:os'
import type { ProcessRank } from './process-ranks.ts'

interface KillOptions {
  /** MPICH's. */
  readonly launcher: string
  readonly hosts: readonly string[]
  readonly env: NodeJS.ProcessEnv
}

const timeoutSeconds = 10

/**
 * MPICH's part on another host sends its ranks SIGTERM and waits for their end, for ever if one is stopped. Another job
 * brings them SIGKILL; nobody waits for it, and it gives up by itself where a host cannot be reached.
 */
export function killRanksElsewhere(ranks: readonly ProcessRank[], { launcher, hosts, env }: KillOptions): void {
  const numPerHost = ranks.length / hosts.length
  for (const [i, name] of hosts.entries()) {
    const there = ranks.filter(({ rank }) => Math.floor(rank / numPerHost) === i)
    if (there.length === 0 || there[0]?.hello.host === os.hostname()) continue
    const command = ['sh', '-c', `kill -9 ${there.map(({ hello }) => hello.pid).join(' ')}`]
    const child = spawn(launcher, ['-hosts', name, '-n', '1', ...command], {
      env: { ...env, MPIEXEC_TIMEOUT: String(timeoutSeconds) },
      stdio: 'ignore',
      detached: true,
    })
    child.on('error', () => {})
    child.unref()
  }
}
