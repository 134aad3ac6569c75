import type { Abort } from '../process-group-errors.ts'

const state = 0
const abortedBy = 1
const reasonLength = 2
const headerBytes = 16
const noRank = -1

/** Bytes of shared memory that a cell takes. */
export const abortCellBytes = 1024

/** Of looking for a reason that is being written: a fifth of a second, where writing takes microseconds. */
const maxTurns = 10_000_000

const isOpen = 0
const isWriting = 1
const isSet = 2

/** Why the group ended, in memory that several threads share: set once, by whoever is first. */
export class AbortCell {
  readonly #words: Int32Array
  readonly #reason: Uint8Array

  constructor(buffer: SharedArrayBuffer, offset = 0) {
    this.#words = new Int32Array(buffer, offset, headerBytes / 4)
    this.#reason = new Uint8Array(buffer, offset + headerBytes, abortCellBytes - headerBytes)
  }

  get isSet(): boolean {
    return Atomics.load(this.#words, state) !== isOpen
  }

  set(abort: Abort): void {
    if (Atomics.compareExchange(this.#words, state, isOpen, isWriting) !== isOpen) return
    // `encodeInto` refuses shared memory.
    const text = new TextEncoder().encode(abort.reason).subarray(0, this.#reason.length)
    this.#reason.set(text)
    this.#words[abortedBy] = abort.abortedBy ?? noRank
    this.#words[reasonLength] = text.length
    Atomics.store(this.#words, state, isSet)
  }

  /** Only after `isSet`. */
  read(): Abort {
    // Whoever was writing may have been ended meanwhile.
    for (let turn = 0; Atomics.load(this.#words, state) !== isSet; turn++)
      if (turn === maxTurns) return { reason: 'by a thread that was ended before it could say why', abortedBy: null }
    const rank = this.#words[abortedBy]!
    const reason = new TextDecoder().decode(this.#reason.slice(0, this.#words[reasonLength]))
    return { reason, abortedBy: rank === noRank ? null : rank }
  }
}
