import { availableParallelism } from 'node:os'
import { CollectiveTimeoutError, ProcessGroupAbortedError } from '../process-group-errors.ts'
import type { Abort, FailedCall } from '../process-group-errors.ts'
import { AbortCell } from './abort-cell.ts'
import type { Call } from './checked-group.ts'
import { bellsOffset, lineBytes } from './thread-memory.ts'
import type { ThreadGroupHandle } from './thread-memory.ts'

/**
 * How long a rank looks before it sleeps: several times what waking up takes, and not longer, since another rank may be
 * waiting for this one's processor.
 */
const maxSpinMs = 0.3
/** Turns of looking between two looks at the clock. */
const numSpins = 200

const bell = 0
const isAsleep = 1
const wordsPerLine = lineBytes / 4

/** Ends a group from a thread that is no rank of it. */
export function abortThreadGroup(handle: ThreadGroupHandle, reason: string): void {
  new AbortCell(handle.memory.buffer).set({ reason, abortedBy: null })
  ringAll(new Bells(handle))
}

/** A word per rank that is counted up, and woken, whenever something happened that the rank may be waiting for. */
class Bells {
  readonly words: Int32Array
  readonly size: number

  constructor({ memory, worldSize }: ThreadGroupHandle) {
    this.words = new Int32Array(memory.buffer, bellsOffset, worldSize * wordsPerLine)
    this.size = worldSize
  }

  ring(rank: number): void {
    const line = rank * wordsPerLine
    Atomics.add(this.words, line + bell, 1)
    // Who is about to sleep says so before it looks a last time.
    if (Atomics.load(this.words, line + isAsleep) === 1) Atomics.notify(this.words, line + bell)
  }
}

function ringAll(bells: Bells): void {
  for (let rank = 0; rank < bells.size; rank++) bells.ring(rank)
}

/** What all groups of a rank share: how it waits, and how the world ends. */
export class ThreadWorld {
  readonly handle: ThreadGroupHandle
  readonly rank: number
  readonly buffer: SharedArrayBuffer
  readonly #abort: AbortCell
  readonly #bells: Bells
  readonly #canSpin: boolean

  constructor(handle: ThreadGroupHandle, rank: number) {
    this.handle = handle
    this.rank = rank
    this.buffer = handle.memory.buffer
    this.#abort = new AbortCell(this.buffer)
    this.#bells = new Bells(handle)
    // A rank that looks while another one has no processor only keeps it from working.
    this.#canSpin = handle.worldSize <= availableParallelism()
  }

  ring(rank: number): void {
    this.#bells.ring(rank)
  }

  abort(abort: Abort): void {
    this.#abort.set(abort)
    ringAll(this.#bells)
  }

  throwIfAborted(call: FailedCall): void {
    if (this.#abort.isSet) throw new ProcessGroupAbortedError(call, this.#abort.read())
  }

  /** Returns when `isDone`; throws when the world ends or the deadline passes, which ends the world. */
  waitFor(call: Call, isDone: () => boolean, missingRanks: () => readonly number[]): void {
    if (this.#canSpin && spin(isDone)) return
    const { words } = this.#bells
    const line = this.rank * wordsPerLine
    for (;;) {
      const heard = Atomics.load(words, line + bell)
      Atomics.store(words, line + isAsleep, 1)
      try {
        if (isDone()) return
        this.throwIfAborted(call)
        const leftMs = call.deadline - performance.now()
        if (leftMs <= 0) throw this.#timedOut(call, missingRanks())
        Atomics.wait(words, line + bell, heard, leftMs)
      } finally {
        Atomics.store(words, line + isAsleep, 0)
      }
    }
  }

  #timedOut(call: Call, missingRanks: readonly number[]): Error {
    const error = new CollectiveTimeoutError(call, call.timeoutMs, missingRanks)
    this.abort({ reason: error.message, abortedBy: this.rank })
    return error
  }
}

function spin(isDone: () => boolean): boolean {
  const start = performance.now()
  do for (let i = 0; i < numSpins; i++) if (isDone()) return true
  while (performance.now() - start < maxSpinMs)
  return false
}
