import { CollectiveMismatchError } from '../process-group-errors.ts'
import type { Abort, FailedCall } from '../process-group-errors.ts'
import type { GroupBuffer, ReduceOp, Work } from '../process-group.ts'
import { bytesOf } from './check-arguments.ts'
import type { Buffers, Call, GroupTransport, Message, Splits } from './checked-group.ts'
import { forEachChunk, reduceInto, reduceView, startsOf } from './reduce.ts'
import type { ReduceBuffer } from './reduce.ts'
import { sumBlockBytes } from './sum-kernel.ts'
import type { SumKernel } from './sum-kernel.ts'
import { ThreadMailbox } from './thread-mailbox.ts'
import { chunkBytes, groupLayout } from './thread-memory.ts'
import { ThreadRounds } from './thread-rounds.ts'
import type { ThreadWorld } from './thread-world.ts'

interface ThreadTransportOptions {
  readonly world: ThreadWorld
  readonly sum: SumKernel
  /** Of the group in the shared memory. */
  readonly start: number
  readonly ranks: readonly number[]
}

/** Collectives through shared memory, in rounds of a chunk per rank. */
export class ThreadTransport implements GroupTransport {
  readonly #world: ThreadWorld
  readonly #sum: SumKernel
  readonly #rank: number
  readonly #size: number
  readonly #mailbox: ThreadMailbox
  readonly #rounds: ThreadRounds
  readonly #slotBytes: number
  /** Where this rank's sums are made, in the shared memory. */
  readonly #sumStart: number
  /** Of a chunk that has a piece for each rank. */
  readonly #pieceBytes: number

  constructor({ world, sum, start, ranks }: ThreadTransportOptions) {
    const layout = groupLayout(ranks.length)
    const rank = ranks.indexOf(world.rank)
    this.#world = world
    this.#sum = sum
    this.#rank = rank
    this.#size = ranks.length
    this.#slotBytes = layout.slotBytes
    this.#sumStart = start + layout.sums + rank * chunkBytes
    this.#pieceBytes = Math.floor(chunkBytes / ranks.length / sumBlockBytes) * sumBlockBytes
    this.#mailbox = new ThreadMailbox({ world, layout, start, rank, ranks })
    const progress = () => this.#mailbox.progress()
    this.#rounds = new ThreadRounds({ world, layout, start, rank, ranks, progress })
  }

  allReduce(call: Call, buffer: ReduceBuffer, op: ReduceOp): void {
    const bytes = bytesOf(buffer)
    forEachChunk(bytes.length, chunkBytes, (from, to) =>
      this.#rounds.run({
        call,
        count: bytes.length,
        write: () => this.#rounds.write(bytes.subarray(from, to), 0),
        read: () => this.#reduceInto(reduceView(buffer, from, to), 0, op),
      }),
    )
  }

  allGather(call: Call, { output, input }: Buffers<GroupBuffer>): void {
    const [source, target] = [bytesOf(input), bytesOf(output)]
    forEachChunk(source.length, chunkBytes, (from, to) =>
      this.#rounds.run({
        call,
        count: source.length,
        write: () => this.#rounds.write(source.subarray(from, to), 0),
        read: () => {
          for (let rank = 0; rank < this.#size; rank++)
            this.#rounds.readInto(target.subarray(rank * source.length + from, rank * source.length + to), rank, 0)
        },
      }),
    )
  }

  reduceScatter(call: Call, { output, input }: Buffers<ReduceBuffer>, op: ReduceOp): void {
    const source = bytesOf(input)
    const partBytes = output.byteLength
    forEachChunk(partBytes, this.#pieceBytes, (from, to) =>
      this.#rounds.run({
        call,
        count: partBytes,
        write: () => {
          for (let rank = 0; rank < this.#size; rank++)
            this.#rounds.write(source.subarray(rank * partBytes + from, rank * partBytes + to), rank * this.#pieceBytes)
        },
        read: () => this.#reduceInto(reduceView(output, from, to), this.#rank * this.#pieceBytes, op),
      }),
    )
  }

  allToAll(call: Call, { output, input }: Buffers<GroupBuffer>, { inputSplits, outputSplits }: Splits): void {
    const [source, target] = [bytesOf(input), bytesOf(output)]
    const elementBytes = input.BYTES_PER_ELEMENT
    const piece = this.#pieceBytes
    const [sourceStarts, targetStarts] = [startsOf(inputSplits, elementBytes), startsOf(outputSplits, elementBytes)]
    // All stay until the longest split is through; how long that is they learn in the first round.
    let numBytes = 0
    for (let from = 0; from === 0 || from < numBytes; from += piece)
      this.#rounds.run({
        call,
        count: elementBytes,
        splits: inputSplits,
        write: () => {
          for (let dst = 0; dst < this.#size; dst++) {
            const at = sourceStarts[dst]! + from
            const end = Math.min(at + piece, sourceStarts[dst + 1]!)
            if (at < end) this.#rounds.write(source.subarray(at, end), dst * piece)
          }
        },
        read: () => {
          numBytes = this.#longestSplit(call, outputSplits) * elementBytes
          for (let src = 0; src < this.#size; src++) {
            const at = targetStarts[src]! + from
            const end = Math.min(at + piece, targetStarts[src + 1]!)
            if (at < end) this.#rounds.readInto(target.subarray(at, end), src, this.#rank * piece)
          }
        },
      })
  }

  broadcast(call: Call, buffer: GroupBuffer, src: number): void {
    const bytes = bytesOf(buffer)
    forEachChunk(bytes.length, chunkBytes, (from, to) =>
      this.#rounds.run({
        call,
        count: bytes.length,
        write: () => {
          if (this.#rank === src) this.#rounds.write(bytes.subarray(from, to), 0)
        },
        read: () => {
          if (this.#rank !== src) this.#rounds.readInto(bytes.subarray(from, to), src, 0)
        },
      }),
    )
  }

  send(call: Call, buffer: GroupBuffer, message: Message): Work {
    return this.#mailbox.send(call, buffer, message)
  }

  receive(call: Call, buffer: GroupBuffer, message: Message): Work {
    return this.#mailbox.receive(call, buffer, message)
  }

  barrier(call: Call): void {
    this.meet(call, 0)
  }

  /** All come with the same number. */
  meet(call: Call, count: number): void {
    this.#rounds.run({ call, count })
  }

  throwIfAborted(call: FailedCall): void {
    this.#world.throwIfAborted(call)
  }

  abort(abort: Abort): void {
    this.#world.abort(abort)
  }

  destroy(): void {}

  /** Joins what all ranks wrote at `offset` of their slots. */
  #reduceInto(target: ReduceBuffer, offset: number, op: ReduceOp): void {
    if (target.length === 0) return
    const first = this.#rounds.dataStart(0) + offset
    if (op === 'sum' && target instanceof Float32Array) {
      this.#sum({
        target: this.#sumStart,
        first,
        stride: this.#slotBytes,
        numParts: this.#size,
        numBytes: target.byteLength,
      })
      target.set(new Float32Array(this.#world.buffer, this.#sumStart, target.length))
      return
    }
    const parts = Array.from({ length: this.#size }, (_, rank) => {
      const start = first + rank * this.#slotBytes
      return target instanceof Float32Array
        ? new Float32Array(this.#world.buffer, start, target.length)
        : new Int32Array(this.#world.buffer, start, target.length)
    })
    reduceInto(target, parts, op)
  }

  #longestSplit(call: Call, outputSplits: readonly number[]): number {
    let longest = 0
    for (let src = 0; src < this.#size; src++) {
      const sent = this.#rounds.splitOf(src, this.#rank)
      if (sent !== outputSplits[src])
        throw new CollectiveMismatchError(
          call,
          `place ${src} of the group sends ${sent} elements here, but outputSplits[${src}] is ${outputSplits[src]}.`,
        )
      for (let dst = 0; dst < this.#size; dst++) longest = Math.max(longest, this.#rounds.splitOf(src, dst))
    }
    return longest
  }
}
