import { type ChildProcess, spawn } from 'node:child_process'
import os from 'node:os'
import { fileURLToPath } from 'node:url'
import { RankFailedError } from '@octavo/core'
import { waitAtMost } from '@octavo/core/engine'
import { type Arrival, ControlServer } from '../control/control-server.ts'
import type { ParallelConfig } from '../parallel-options.ts'
import { launchEnvironment } from '../rank-environment.ts'
import type { DriverMessage } from '../rank/serve-driver.ts'
import { findLauncher, type LauncherOfKind } from './find-launcher.ts'
import { launcherArguments, rootVariables } from './launcher-command.ts'
import { launchFailure, quote, saysProxyIsLost, unreachedHost } from './launcher-words.ts'
import { killRanksElsewhere } from './kill-ranks-elsewhere.ts'
import { greet, linksOf, type ProcessRank } from './process-ranks.ts'
import type { LaunchedRanks, RankEvents } from './rank-link.ts'

/** How long ranks may take to call back: hosts are asked by ssh, Node starts. */
const startTimeoutMs = 60_000
/** How long they may take to leave MPI, and the launcher to tidy up after those that were killed. */
const endTimeoutMs = 5000
const tidyTimeoutMs = 8000

/** A launcher sees the end of a rank no later than its driver, and has much to say of it. */
const hearingDelayMs = 1000

/** Ranks as processes, started through an MPI launcher. */
export async function launchMpi(config: ParallelConfig, events: RankEvents): Promise<LaunchedRanks> {
  const { worldSize, hosts, heartbeatTimeoutMs } = config
  const launcher = await findLauncher(config.mpi)
  const server = await ControlServer.listen(
    config.controlHost ?? hosts?.[0] ?? '127.0.0.1',
    Array.from({ length: worldSize }, (_, rank) => rank),
  )
  const job = new Job(launcher, config, { address: server.address, heartbeatTimeoutMs })
  try {
    const arrivals = await allArrived(server, job)
    const ranks = await greet(arrivals, heartbeatTimeoutMs, events)
    ranks.sort((a, b) => a.rank - b.rank)
    job.speak()
    void job.ended.then((how) => events.onLost(null, new Error(how)))
    return {
      links: linksOf(ranks, os.hostname()),
      threadGroup: null,
      // Nobody reaches a thread inside MPI.
      abort() {},
      end: (isFailure) => (isFailure ? killAll(ranks, job) : letGo(ranks, job)),
    }
  } catch (error) {
    server.close()
    await job.kill()
    throw error
  }
}

/** The launcher's own process. */
class Job {
  readonly ended: Promise<string>
  /** Why a rank cannot be started, and the launcher waits for it all the same. */
  readonly unreached: Promise<Error>
  readonly #child: ChildProcess
  readonly #killElsewhere: (ranks: readonly ProcessRank[]) => void
  /** The end of what it and the ranks wrote. */
  #said = ''
  #isHeard = false

  constructor({ kind, path }: LauncherOfKind, { worldSize, hosts }: ParallelConfig, message: DriverMessage) {
    const entry = import.meta.url.endsWith('.ts') ? '../rank/rank-process.ts' : './rank-process.js'
    const env = { ...launchEnvironment(message), ...(process.getuid?.() === 0 && rootVariables) }
    const variables = Object.keys(env).filter((name) => /^(OCTAVO|HF|NODE|UCX|MPI)_/.test(name))
    const command = [process.execPath, fileURLToPath(new URL(entry, import.meta.url))]
    const args = launcherArguments(kind, { worldSize, hosts, command, variables })
    // In a process group of its own: Ctrl-C in the terminal is for the driver, which lets ranks go in order.
    const child = spawn(path, args, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    const unreached = Promise.withResolvers<Error>()
    const hear = (text: string): void => {
      setTimeout(() => this.#isHeard && process.stderr.write(text), hearingDelayMs).unref()
      this.#said = (this.#said + text).slice(-4096)
      // MPICH's waits on in both cases.
      const error = hosts && unreachedHost(this.#said, kind, hosts)
      if (error !== null) unreached.resolve(error)
      if (saysProxyIsLost(this.#said)) child.kill('SIGKILL')
    }
    child.stdout.setEncoding('utf8').on('data', hear)
    child.stderr.setEncoding('utf8').on('data', hear)
    this.#child = child
    this.unreached = unreached.promise
    this.#killElsewhere = (ranks) => {
      // Open MPI's part on another host sends SIGKILL by itself.
      if (kind === 'mpich' && hosts !== null) killRanksElsewhere(ranks, { launcher: path, hosts, env })
    }
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => resolve(error.message))
      child.once('close', (code, signal) => resolve(`${path} ended with ${signal ?? `code ${code}`}`))
    })
  }

  /** Ranks serve, and what they write is for people, unless they are ended. */
  speak(): void {
    this.#isHeard = true
  }

  get said(): string {
    return this.#said.trim()
  }

  async kill(ranks: readonly ProcessRank[] = []): Promise<void> {
    this.#isHeard = false
    this.#killElsewhere(ranks)
    this.#child.kill('SIGTERM')
    if (await waitAtMost(this.ended, tidyTimeoutMs)) return
    this.#child.kill('SIGKILL')
    await waitAtMost(this.ended, tidyTimeoutMs)
  }
}

async function allArrived(server: ControlServer, job: Job): Promise<ReadonlyMap<number, Arrival>> {
  const timeout = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    const missing = server.missing.join(', ')
    timeout.reject(
      new RankFailedError(null, `Ranks ${missing} did not call back within ${startTimeoutMs} ms.${quote(job.said)}`),
    )
  }, startTimeoutMs)
  const ended = job.ended.then((how) => launchFailure(how, { said: job.said, missing: server.missing }))
  const failed = Promise.race([job.unreached, ended]).then((error) => {
    throw error
  })
  // It ends after all have arrived, too.
  failed.catch(() => {})
  try {
    return await Promise.race([server.arrivals(), failed, timeout.promise])
  } finally {
    clearTimeout(timer)
  }
}

async function letGo(ranks: readonly ProcessRank[], job: Job): Promise<void> {
  for (const link of linksOf(ranks, os.hostname())) link.post({ type: 'end' })
  if (await waitAtMost(job.ended, endTimeoutMs)) return closeAll(ranks)
  await killAll(ranks, job)
}

/** A stopped process hears of nothing but SIGKILL. */
async function killAll(ranks: readonly ProcessRank[], job: Job): Promise<void> {
  for (const { hello } of ranks) if (hello.host === os.hostname()) tryKill(hello.pid)
  closeAll(ranks)
  await job.kill(ranks)
}

function closeAll(ranks: readonly ProcessRank[]): void {
  for (const { connection } of ranks) connection.destroy()
}

function tryKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It is gone.
  }
}
