import { readdirSync, readFileSync } from 'node:fs'

/** Peaks in bytes. A page that several processes map counts in equal parts for each (PSS), so no file page counts twice. */
export interface MemoryPeaks {
  /** Of the engine's process, with all ranks that are threads of it. */
  readonly engineBytes: number
  /** Of each rank that is a process of its own. */
  readonly rankBytes: readonly number[]
}

const intervalMs = 25

/** Looks at an engine's process, and the ranks' processes below it, again and again until disposed of. Linux only. */
export class MemorySampler implements Disposable {
  readonly #enginePid: number
  readonly #timer: NodeJS.Timeout
  readonly #peaks = new Map<number, number>()

  constructor(enginePid: number) {
    this.#enginePid = enginePid
    this.#timer = setInterval(() => this.#sample(), intervalMs)
  }

  peaks(): MemoryPeaks {
    const { [this.#enginePid]: engineBytes = 0, ...ranks } = Object.fromEntries(this.#peaks)
    return { engineBytes, rankBytes: Object.values(ranks) }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  #sample(): void {
    for (const pid of [this.#enginePid, ...rankProcesses(this.#enginePid)]) {
      const bytes = proportionalBytes(pid)
      if (bytes !== null) this.#peaks.set(pid, Math.max(bytes, this.#peaks.get(pid) ?? 0))
    }
  }
}

/** Below an engine's; launchers and their agents are between. */
function rankProcesses(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [...(isRank(child) ? [child] : []), ...rankProcesses(child)])
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    )
  } catch {
    return []
  }
}

function isRank(pid: number): boolean {
  try {
    const [program = '', entry = ''] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
    return program.endsWith('node') && /rank-process[.][jt]s$/.test(entry)
  } catch {
    return false
  }
}

function proportionalBytes(pid: number): number | null {
  try {
    const [, kilobytes] = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')) ?? []
    return kilobytes === undefined ? null : Number(kilobytes) * 1024
  } catch {
    return null
  }
}
