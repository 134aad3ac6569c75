import { spawn } from 'node:child_process'
import os from 'node:os'
import type { ProcessRank } from './process-ranks.ts'

interface KillOptions {
  /** MPICH's. */
  readonly launcher: string
  readonly hosts: readonly string[]
  readonly env: NodeJS.ProcessEnv
}

const timeoutSeconds = '5'

/**
 * MPICH's part on another host sends its ranks SIGTERM and waits for their end, for ever if one is stopped. Another job
 * brings them SIGKILL; nobody waits for it.
 */
export function killRanksElsewhere(ranks: readonly ProcessRank[], { launcher, hosts, env }: KillOptions): void {
  const numPerHost = ranks.length / hosts.length
  for (const [i, name] of hosts.entries()) {
    const there = ranks.filter(({ rank }) => Math.floor(rank / numPerHost) === i)
    if (there.length === 0 || there[0]?.hello.host === os.hostname()) continue
    const command = ['sh', '-c', `kill -9 ${there.map(({ hello }) => hello.pid).join(' ')}`]
    // This thread may end sooner than the job, which waits for ever for a host that it does not reach.
    const job = ['-s', 'KILL', timeoutSeconds, launcher, '-hosts', name, '-n', '1', ...command]
    const child = spawn('timeout', job, { env, stdio: 'ignore', detached: true })
    child.on('error', () => {})
    child.unref()
  }
}
