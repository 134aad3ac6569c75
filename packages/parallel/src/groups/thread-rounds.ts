import { CollectiveMismatchError } from '../process-group-errors.ts'
import type { Call } from './checked-group.ts'
import { lineBytes } from './thread-memory.ts'
import type { GroupLayout } from './thread-memory.ts'
import type { ThreadWorld } from './thread-world.ts'

/** A slot's head names the call by its place here. */
const operations = [
  'allReduce',
  'allGatherIntoTensor',
  'reduceScatterTensor',
  'allToAllSingle',
  'broadcast',
  'barrier',
  'newGroup',
]

const operationWord = 0
const countWord = 1
const splitsWord = 2

const numArrivedWord = 0
const generationWord = 1

export interface RoundsOptions {
  readonly world: ThreadWorld
  readonly layout: GroupLayout
  /** Of the group in the shared memory. */
  readonly start: number
  readonly rank: number
  readonly ranks: readonly number[]
  /** Called while the rank waits. */
  readonly progress: () => void
}

export interface Round {
  readonly call: Call
  /** What all ranks must agree in. */
  readonly count: number
  readonly splits?: readonly number[]
  write?(): void
  read?(): void
}

/**
 * Each rank writes its slot, all meet, each reads the others' slots. Slots are double, so that one meeting per round is
 * enough: who writes the next round's has no reader left in the one before it.
 */
export class ThreadRounds {
  readonly #options: RoundsOptions
  readonly #words: Int32Array
  readonly #bytes: Uint8Array
  #round = 0

  constructor(options: RoundsOptions) {
    this.#options = options
    this.#words = new Int32Array(options.world.buffer)
    this.#bytes = new Uint8Array(options.world.buffer)
  }

  run({ call, count, splits = [], write, read }: Round): void {
    this.#round = (this.#round + 1) | 0
    const head = this.#headOf(this.#options.rank)
    this.#words[head + operationWord] = operations.indexOf(call.operation)
    this.#words[head + countWord] = count
    for (const [dst, split] of splits.entries()) this.#words[head + splitsWord + dst] = split
    write?.()
    this.#meet(call)
    this.#checkSameCall(call)
    read?.()
  }

  write(bytes: Uint8Array, offset: number): void {
    this.#bytes.set(bytes, this.dataStart(this.#options.rank) + offset)
  }

  /** Copies what a rank wrote. */
  readInto(target: Uint8Array, rank: number, offset: number): void {
    const start = this.dataStart(rank) + offset
    target.set(this.#bytes.subarray(start, start + target.length))
  }

  /** In the shared memory, of this round. */
  dataStart(rank: number): number {
    return this.#slotStart(rank) + this.#options.layout.slotHeadBytes
  }

  /** How much `src` sends to `dst` in this round's call. */
  splitOf(src: number, dst: number): number {
    return this.#words[this.#headOf(src) + splitsWord + dst]!
  }

  #slotStart(rank: number): number {
    const { start, layout, ranks } = this.#options
    return start + layout.slots + ((this.#round & 1) * ranks.length + rank) * layout.slotBytes
  }

  #headOf(rank: number): number {
    return this.#slotStart(rank) / 4
  }

  #arrivalOf(rank: number): number {
    return (this.#options.start + this.#options.layout.arrivals + rank * lineBytes) / 4
  }

  #meet(call: Call): void {
    const { world, start, rank, ranks, progress } = this.#options
    const barrier = start / 4
    Atomics.store(this.#words, this.#arrivalOf(rank), this.#round)
    if (Atomics.add(this.#words, barrier + numArrivedWord, 1) === ranks.length - 1) {
      Atomics.store(this.#words, barrier + numArrivedWord, 0)
      Atomics.store(this.#words, barrier + generationWord, this.#round)
      for (const other of ranks) if (other !== world.rank) world.ring(other)
      return
    }
    const haveMet = (): boolean => {
      if (Atomics.load(this.#words, barrier + generationWord) === this.#round) return true
      progress()
      return false
    }
    world.waitFor(call, haveMet, () => this.#missingRanks())
  }

  #missingRanks(): number[] {
    return this.#options.ranks.filter((_, rank) => Atomics.load(this.#words, this.#arrivalOf(rank)) !== this.#round)
  }

  #checkSameCall(call: Call): void {
    const { rank, ranks } = this.#options
    const own = this.#describe(rank)
    const odd = ranks.findIndex((_, other) => this.#isOdd(other))
    if (odd !== -1)
      throw new CollectiveMismatchError(
        call,
        `rank ${ranks[odd]} came with ${this.#describe(odd)}, this one with ${own}. All ranks of a group must make the same calls with the same sizes.`,
      )
  }

  #isOdd(other: number): boolean {
    const own = this.#headOf(this.#options.rank)
    const head = this.#headOf(other)
    return (
      this.#words[head + operationWord] !== this.#words[own + operationWord] ||
      this.#words[head + countWord] !== this.#words[own + countWord]
    )
  }

  #describe(rank: number): string {
    const head = this.#headOf(rank)
    return `${operations[this.#words[head + operationWord]!]} (${this.#words[head + countWord]})`
  }
}
