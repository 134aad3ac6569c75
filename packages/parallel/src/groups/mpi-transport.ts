import { CollectiveMismatchError } from '../process-group-errors.ts'
import type { Abort, FailedCall } from '../process-group-errors.ts'
import type { GroupBuffer, ReduceOp, Work } from '../process-group.ts'
import type { HandleCell, MpiHandle } from '../mpi/mpi-binding.ts'
import type { MpiWorld } from '../mpi/mpi-world.ts'
import { bytesOf } from './check-arguments.ts'
import type { Buffers, Call, GroupTransport, Message, Splits } from './checked-group.ts'
import { forEachChunk, reduceInto, reduceView, startsOf } from './reduce.ts'
import type { ReduceBuffer } from './reduce.ts'
import { roundUp } from './round-up.ts'
import { createSharedMemory } from './shared-memory.ts'
import type { SharedMemory } from './shared-memory.ts'
import { createSumKernel, sumBlockBytes } from './sum-kernel.ts'
import type { SumKernel } from './sum-kernel.ts'

/** Of a rank's part in a round of a reduction. */
const partBytes = 512 * 1024
/** Among more than two ranks a second collective pays from here on (four ranks on two processors: 2.4 against 2.9 ms for 1 MB). */
const minScatterBytes = 256 * 1024
/** MPI counts with C's int. */
const maxMessageBytes = 2 ** 30
const maxCount = 2 ** 31 - 1

export interface MpiTransportOptions {
  readonly world: MpiWorld
  readonly comm: MpiHandle
  readonly ranks: readonly number[]
  /** Whose end is that of MPI in this process. */
  readonly isWorld: boolean
}

/**
 * Collectives of an MPI library in their nonblocking forms, so that a wait can end. Its own reductions are not used:
 * their order of addition changes with the size of the message and the number of ranks.
 */
export class MpiTransport implements GroupTransport {
  readonly #world: MpiWorld
  readonly #comm: MpiHandle
  readonly #ranks: readonly number[]
  readonly #rank: number
  readonly #isWorld: boolean
  /** Parts of all ranks one behind the other, then their sum. */
  readonly #memory: SharedMemory
  readonly #bytes: Uint8Array
  readonly #sum: SumKernel

  constructor({ world, comm, ranks, isWorld }: MpiTransportOptions) {
    this.#world = world
    this.#comm = comm
    this.#ranks = ranks
    this.#isWorld = isWorld
    this.#rank = ranks.indexOf(world.rank)
    this.#memory = createSharedMemory((ranks.length + 1) * partBytes)
    this.#bytes = new Uint8Array(this.#memory.buffer)
    this.#sum = createSumKernel(this.#memory)
  }

  get #size(): number {
    return this.#ranks.length
  }

  allReduce(call: Call, buffer: ReduceBuffer, op: ReduceOp): void {
    forEachChunk(buffer.byteLength, partBytes, (from, to) => {
      const chunk = reduceView(buffer, from, to)
      if (this.#size > 2 && chunk.byteLength >= minScatterBytes) this.#reduceByPieces(call, chunk, op)
      else this.#gatherAndReduce(call, chunk, op)
    })
  }

  /** Everybody gets everything and adds for itself. */
  #gatherAndReduce(call: Call, chunk: ReduceBuffer, op: ReduceOp): void {
    const { mpi } = this.#world
    const stride = roundUp(chunk.byteLength, sumBlockBytes)
    this.#bytes.set(bytesOf(chunk), this.#rank * stride)
    this.#run(call, [], (request) =>
      mpi.iallgather(mpi.inPlace, 0, mpi.byte, this.#bytes, stride, mpi.byte, this.#comm, request),
    )
    this.#reduceInto(chunk, { stride, op })
  }

  /** Everybody adds a piece, in the same order, and gets the others': of n bytes 2 n (p - 1) / p arrive instead of n (p - 1). */
  #reduceByPieces(call: Call, chunk: ReduceBuffer, op: ReduceOp): void {
    const { mpi } = this.#world
    const stride = roundUp(Math.ceil(chunk.byteLength / this.#size), sumBlockBytes)
    const pieces = new Uint8Array(stride * this.#size)
    pieces.set(bytesOf(chunk))
    this.#run(call, [pieces], (request) =>
      mpi.ialltoall(pieces, stride, mpi.byte, this.#bytes, stride, mpi.byte, this.#comm, request),
    )
    const own = chunk instanceof Float32Array ? new Float32Array(stride / 4) : new Int32Array(stride / 4)
    this.#reduceInto(own, { stride, op })
    this.#run(call, [bytesOf(own), pieces], (request) =>
      mpi.iallgather(bytesOf(own), stride, mpi.byte, pieces, stride, mpi.byte, this.#comm, request),
    )
    bytesOf(chunk).set(pieces.subarray(0, chunk.byteLength))
  }

  allGather(call: Call, { output, input }: Buffers<GroupBuffer>): void {
    const [source, target] = [bytesOf(input), bytesOf(output)]
    checkCount(call, target.length)
    const { mpi } = this.#world
    this.#run(call, [source, target], (request) =>
      mpi.iallgather(source, source.length, mpi.byte, target, source.length, mpi.byte, this.#comm, request),
    )
  }

  reduceScatter(call: Call, { output, input }: Buffers<ReduceBuffer>, op: ReduceOp): void {
    const source = bytesOf(input)
    const ownBytes = output.byteLength
    const { mpi } = this.#world
    forEachChunk(ownBytes, partBytes, (from, to) => {
      const stride = roundUp(to - from, sumBlockBytes)
      const pieces = new Uint8Array(stride * this.#size)
      for (let rank = 0; rank < this.#size; rank++)
        pieces.set(source.subarray(rank * ownBytes + from, rank * ownBytes + to), rank * stride)
      this.#run(call, [pieces], (request) =>
        mpi.ialltoall(pieces, stride, mpi.byte, this.#bytes, stride, mpi.byte, this.#comm, request),
      )
      this.#reduceInto(reduceView(output, from, to), { stride, op })
    })
  }

  allToAll(call: Call, { output, input }: Buffers<GroupBuffer>, { inputSplits, outputSplits }: Splits): void {
    const [source, target] = [bytesOf(input), bytesOf(output)]
    checkCount(call, Math.max(source.length, target.length))
    const { mpi } = this.#world
    const elementBytes = input.BYTES_PER_ELEMENT
    const countsOf = (splits: readonly number[]) => Int32Array.from(splits, (split) => split * elementBytes)
    const placesOf = (splits: readonly number[]) => Int32Array.from(startsOf(splits, elementBytes).slice(0, -1))
    const [sent, sentAt] = [countsOf(inputSplits), placesOf(inputSplits)]
    const [received, receivedAt] = [countsOf(outputSplits), placesOf(outputSplits)]
    // MPI reads the counts until the call is completed, too.
    const counts = [sent, sentAt, received, receivedAt].map(bytesOf)
    this.#run(call, [source, target, ...counts], (request) =>
      mpi.ialltoallv(source, sent, sentAt, mpi.byte, target, received, receivedAt, mpi.byte, this.#comm, request),
    )
  }

  broadcast(call: Call, buffer: GroupBuffer, src: number): void {
    const bytes = bytesOf(buffer)
    const { mpi } = this.#world
    forEachChunk(bytes.length, maxMessageBytes, (from, to) => {
      const chunk = bytes.subarray(from, to)
      this.#run(call, [chunk], (request) => mpi.ibcast(chunk, chunk.length, mpi.byte, src, this.#comm, request))
    })
  }

  send(call: Call, buffer: GroupBuffer, message: Message): Work {
    return this.#transfer(call, buffer, { ...message, start: this.#world.mpi.isend })
  }

  receive(call: Call, buffer: GroupBuffer, message: Message): Work {
    return this.#transfer(call, buffer, { ...message, start: this.#world.mpi.irecv })
  }

  barrier(call: Call): void {
    this.#world.barrier(call, this.#comm)
  }

  throwIfAborted(call: FailedCall): void {
    this.#world.throwIfAborted(call)
  }

  abort(abort: Abort): void {
    this.#world.abort(abort)
  }

  /** MPI_Finalize frees the communicators of other groups, too; freeing one alone would be collective. */
  destroy(call: Call): void {
    if (this.#isWorld) this.#world.finalize(call)
  }

  #run(call: Call, buffers: readonly Uint8Array[], start: (request: HandleCell) => number): void {
    const request = this.#world.mpi.newCell()
    this.#world.check(call, start(request))
    this.#world.wait(call, { requests: [request], buffers: [this.#bytes, ...buffers], missingRanks: [] })
  }

  #transfer(call: Call, buffer: GroupBuffer, { peer, tag, start }: Message & { start: MpiStart }): Work {
    const { mpi } = this.#world
    const bytes = bytesOf(buffer)
    const requests: HandleCell[] = []
    forEachChunk(bytes.length, maxMessageBytes, (from, to) => {
      const request = mpi.newCell()
      this.#world.check(call, start(bytes.subarray(from, to), to - from, mpi.byte, peer, tag, this.#comm, request))
      requests.push(request)
    })
    const pending = { requests, buffers: [bytes], missingRanks: [this.#ranks[peer]!] }
    // A work that nobody waits for must not take its memory along.
    const forget = this.#world.hold(pending)
    const isCompleted = (): boolean => {
      const isDone = requests.every((request) => this.#world.test(call, request))
      if (isDone) forget()
      else this.#world.hear(call)
      return isDone
    }
    return {
      isCompleted,
      wait: (timeoutMs = call.timeoutMs) => {
        this.#world.wait({ ...call, timeoutMs, deadline: performance.now() + timeoutMs }, pending)
        forget()
      },
    }
  }

  /** Joins the parts in the memory, in rank order. */
  #reduceInto(target: ReduceBuffer, { stride, op }: { stride: number; op: ReduceOp }): void {
    const { buffer } = this.#memory
    if (op === 'sum' && target instanceof Float32Array) {
      const sumStart = this.#size * partBytes
      this.#sum({ target: sumStart, first: 0, stride, numParts: this.#size, numBytes: target.byteLength })
      target.set(new Float32Array(buffer, sumStart, target.length))
      return
    }
    const parts = this.#ranks.map((_, rank) =>
      target instanceof Float32Array
        ? new Float32Array(buffer, rank * stride, target.length)
        : new Int32Array(buffer, rank * stride, target.length),
    )
    reduceInto(target, parts, op)
  }
}

type MpiStart = MpiWorld['mpi']['isend']

function checkCount(call: FailedCall, numBytes: number): void {
  if (numBytes > maxCount)
    throw new CollectiveMismatchError(
      call,
      `${numBytes} bytes are more than MPI counts, ${maxCount}. Call it for parts.`,
    )
}
