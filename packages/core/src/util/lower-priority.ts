import { readlinkSync } from 'node:fs'
import { getPriority, setPriority } from 'node:os'

/** Of the thread that calls it; on Linux each has its own. */
export function lowerPriority(niceness: number): void {
  if (niceness === 0 || process.platform !== 'linux') return
  try {
    const [, threadId] = /\/task\/(\d+)$/.exec(readlinkSync('/proc/thread-self')) ?? []
    if (threadId !== undefined) setPriority(Number(threadId), getPriority(Number(threadId)) + niceness)
  } catch {
    // A sandbox without /proc, or one that forbids it.
  }
}
