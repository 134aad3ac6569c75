import { availableParallelism } from 'node:os'
import { AbortCell, abortCellBytes } from '../groups/abort-cell.ts'
import type { Call } from '../groups/checked-group.ts'
import {
  CollectiveTimeoutError,
  CommunicationError,
  MpiError,
  MpiLibraryError,
  ProcessGroupAbortedError,
} from '../process-group-errors.ts'
import type { Abort, FailedCall } from '../process-group-errors.ts'
import { parseRankEnvironment } from '../rank-environment.ts'
import { threadFunneled } from './mpi-binding.ts'
import type { HandleCell, MpiBinding, MpiHandle } from './mpi-binding.ts'

/** Turns of asking MPI before a rank sleeps: a fifth of a millisecond, where every rank has a processor. */
const maxSpins = 600
/** Where ranks share processors, somebody else can use this one's time. */
const maxSharedSpins = 20
const minSleepMs = 0.05
const maxSleepMs = 1
/** A rank that sleeps a sixteenth of what it has waited already comes at most so much late. */
const sleepShare = 1 / 16
/** How long who ends the group goes on telling the others. */
const farewellMs = 200

const abortTag = 1
/** JSON of a reason that fits into an abort cell; every byte of it may need an escape. */
const messageBytes = 8 * abortCellBytes

export interface MpiWorldOptions {
  readonly mpi: MpiBinding
  /** Set from another thread of this process to end the group; `createAbortFlag`. */
  readonly abortFlag?: SharedArrayBuffer
  readonly timeoutMs: number
}

/** What all groups of a process share: how it waits for MPI, and how the world ends. Every call comes from one thread. */
export class MpiWorld {
  readonly mpi: MpiBinding
  readonly rank: number
  readonly size: number
  /** For messages about the end, apart from what groups send; `null` until all ranks are there. */
  #control: MpiHandle | null = null
  readonly #abort: AbortCell
  #hasTold = false
  readonly #numSpins: number
  readonly #flag = new Int32Array(1)
  readonly #sleeper = new Int32Array(new SharedArrayBuffer(4))
  /** Memory that MPI may still read or write: it must outlive a call that failed, and a work that nobody waits for. */
  readonly #held = new Set<object>()

  constructor({ mpi, abortFlag = new SharedArrayBuffer(abortCellBytes), timeoutMs }: MpiWorldOptions) {
    this.mpi = mpi
    this.#abort = new AbortCell(abortFlag)
    const starting = { rank: 0, worldSize: 0, operation: 'initProcessGroup' }
    this.#initialize(starting)
    this.rank = this.#number(starting, 'commRank')
    this.size = this.#number(starting, 'commSize')
    const launched = parseRankEnvironment()
    checkLaunch(mpi, launched?.worldSize ?? 1, this.size)
    const numLocal = launched?.localSize ?? this.size
    this.#numSpins = numLocal <= availableParallelism() ? maxSpins : maxSharedSpins
    const call = {
      ...starting,
      rank: this.rank,
      worldSize: this.size,
      timeoutMs,
      deadline: performance.now() + timeoutMs,
    }
    this.barrier(call, mpi.world)
    const control = mpi.newCell()
    this.check(call, mpi.commDup(mpi.world, control))
    this.#control = control[0]!
  }

  /** Turns an error's code into an error. */
  check(call: FailedCall, code: number): void {
    if (code === 0) return
    const text = new Uint8Array(1024)
    const length = new Int32Array(1)
    this.mpi.errorString(code, text, length)
    throw new MpiError(call, code, Buffer.from(text.subarray(0, length[0])).toString('latin1'))
  }

  throwIfAborted(call: FailedCall): void {
    if (!this.#abort.isSet) return
    const abort = this.#abort.read()
    this.#tell(abort)
    throw new ProcessGroupAbortedError(call, abort)
  }

  abort(abort: Abort): void {
    this.#abort.set(abort)
    this.#tell(this.#abort.read())
  }

  /** Throws where this rank, or a message of another one, says that the world has ended. */
  hear(call: Call): void {
    this.#readEnd(call)
    this.throwIfAborted(call)
  }

  barrier(call: Call, comm: MpiHandle): void {
    const request = this.mpi.newCell()
    this.check(call, this.mpi.ibarrier(comm, request))
    this.wait(call, { requests: [request], buffers: [], missingRanks: [] })
  }

  /** Whether MPI is done with it. */
  test(call: FailedCall, request: HandleCell): boolean {
    this.check(call, this.mpi.test(request, this.#flag, this.mpi.statusIgnore))
    return this.#flag[0] !== 0
  }

  /** Returns when all requests are completed; throws when the world ends or the deadline passes, which ends the world. */
  wait(call: Call, pending: PendingRequests): void {
    const start = performance.now()
    try {
      for (const request of pending.requests)
        this.#waitFor(call, request, { start, missingRanks: pending.missingRanks })
    } catch (error) {
      this.hold(pending)
      throw error
    }
  }

  /** Keeps memory that MPI knows of, until the returned function is called. */
  hold(memory: object): () => void {
    this.#held.add(memory)
    return () => this.#held.delete(memory)
  }

  finalize(call: Call): void {
    if (this.#abort.isSet) return
    // MPI_Finalize has no deadline of its own.
    this.barrier(call, this.mpi.world)
    this.check(call, this.mpi.finalize())
  }

  #waitFor(
    call: Call,
    request: HandleCell,
    { start, missingRanks }: { start: number; missingRanks: readonly number[] },
  ): void {
    for (let turn = 0; !this.test(call, request); turn++) {
      if (turn < this.#numSpins) continue
      this.hear(call)
      const now = performance.now()
      if (now >= call.deadline) throw new CollectiveTimeoutError(call, call.timeoutMs, missingRanks)
      this.#sleep(Math.min(Math.max((now - start) * sleepShare, minSleepMs), maxSleepMs, call.deadline - now))
    }
  }

  #readEnd(call: Call): void {
    const { mpi } = this
    if (this.#control === null) return
    this.check(call, mpi.iprobe(mpi.anySource, abortTag, this.#control, this.#flag, mpi.statusIgnore))
    if (this.#flag[0] === 0) return
    const bytes = new Uint8Array(messageBytes)
    const request = mpi.newCell()
    this.check(call, mpi.irecv(bytes, bytes.length, mpi.byte, mpi.anySource, abortTag, this.#control, request))
    while (!this.test(call, request)) this.#sleep(minSleepMs)
    // Whoever ended the group tells all of it.
    this.#hasTold = true
    this.#abort.set(JSON.parse(Buffer.from(bytes).toString()) as Abort)
  }

  #sleep(ms: number): void {
    Atomics.wait(this.#sleeper, 0, 0, ms)
  }

  /** Lets the others know, as far as they can be reached. */
  #tell(abort: Abort): void {
    const control = this.#control
    if (this.#hasTold || control === null) return
    this.#hasTold = true
    // Space behind JSON is no part of it, so all messages have one length.
    const bytes = new Uint8Array(messageBytes).fill(32)
    bytes.set(new TextEncoder().encode(JSON.stringify(abort)))
    const others = Array.from({ length: this.size }, (_, rank) => rank).filter((rank) => rank !== this.rank)
    const requests = others.map((rank) => {
      const request = this.mpi.newCell()
      this.mpi.isend(bytes, bytes.length, this.mpi.byte, rank, abortTag, control, request)
      return request
    })
    this.hold({ bytes, requests })
    const end = performance.now() + farewellMs
    while (!requests.every((request) => this.#isCompleted(request)) && performance.now() < end) this.#sleep(minSleepMs)
  }

  #isCompleted(request: HandleCell): boolean {
    return this.mpi.test(request, this.#flag, this.mpi.statusIgnore) !== 0 || this.#flag[0] !== 0
  }

  #initialize(call: FailedCall): void {
    const { mpi } = this
    this.check(call, mpi.initialized(this.#flag))
    if (this.#flag[0] !== 0)
      throw new CommunicationError(call, 'MPI was initialized in this process before; it can be only once.')
    const provided = new Int32Array(1)
    this.check(call, mpi.initThread(null, null, threadFunneled, provided))
    if (provided[0]! < threadFunneled)
      throw new MpiLibraryError(
        `${mpi.name} ${mpi.version} (${mpi.library}) was built without threads; Octavo's ranks call it from a thread of their own. Install a build with MPI_THREAD_FUNNELED.`,
      )
    this.check(call, mpi.setErrorHandler(mpi.world, mpi.errorsReturn))
  }

  #number(call: FailedCall, name: 'commRank' | 'commSize'): number {
    const value = new Int32Array(1)
    this.check(call, this.mpi[name](this.mpi.world, value))
    return value[0]!
  }
}

export interface PendingRequests {
  readonly requests: readonly HandleCell[]
  /** What MPI reads or writes until then. */
  readonly buffers: readonly Uint8Array[]
  readonly missingRanks: readonly number[]
}

/** Ranks under the launcher of one library and with another one are all alone. */
function checkLaunch(mpi: MpiBinding, launchedSize: number, size: number): void {
  if (size === 1 && launchedSize > 1)
    throw new MpiLibraryError(
      `the launcher started ${launchedSize} ranks, but ${mpi.name} ${mpi.version} (${mpi.library}) sees one. Use the launcher of the same MPI library, or set MPI_LIBRARY to the launcher's.`,
    )
}

/** Shared memory in which another thread of a rank's process can end its group. */
export function createAbortFlag(): SharedArrayBuffer {
  return new SharedArrayBuffer(abortCellBytes)
}

/** Every waiting or next call of this rank throws; it tells the others. */
export function raiseAbortFlag(flag: SharedArrayBuffer, reason: string): void {
  new AbortCell(flag).set({ reason, abortedBy: null })
}
