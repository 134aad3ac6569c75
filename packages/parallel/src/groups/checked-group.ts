import { CommunicationError, ProcessGroupAbortedError } from '../process-group-errors.ts'
import type { Abort, FailedCall } from '../process-group-errors.ts'
import type {
  AllToAllOptions,
  BroadcastOptions,
  CollectiveOptions,
  GroupBuffer,
  ProcessGroup,
  RecvOptions,
  ReduceOp,
  ReduceOptions,
  SendOptions,
  Work,
} from '../process-group.ts'
import { checkParts, checkPeer, checkSameType, checkSplits } from './check-arguments.ts'
import type { ReduceBuffer } from './reduce.ts'

/** A call under way, and until when. */
export interface Call extends FailedCall {
  readonly timeoutMs: number
  readonly deadline: number
}

export interface Buffers<T> {
  readonly output: T
  readonly input: T
}

export interface Splits {
  readonly inputSplits: readonly number[]
  readonly outputSplits: readonly number[]
}

export interface Message {
  /** The rank in the group at the other end. */
  readonly peer: number
  readonly tag: number
}

/** What a backend does after the arguments were checked. */
export interface GroupTransport {
  allReduce(call: Call, buffer: ReduceBuffer, op: ReduceOp): void
  allGather(call: Call, buffers: Buffers<GroupBuffer>): void
  reduceScatter(call: Call, buffers: Buffers<ReduceBuffer>, op: ReduceOp): void
  allToAll(call: Call, buffers: Buffers<GroupBuffer>, splits: Splits): void
  broadcast(call: Call, buffer: GroupBuffer, src: number): void
  send(call: Call, buffer: GroupBuffer, message: Message): Work
  receive(call: Call, buffer: GroupBuffer, message: Message): Work
  barrier(call: Call): void
  throwIfAborted(call: FailedCall): void
  abort(abort: Abort): void
  /** Called once; where the world was ended before, there is nothing left to do. */
  destroy(call: Call): void
}

export interface GroupOptions {
  readonly backend: ProcessGroup['backend']
  readonly transport: GroupTransport
  readonly rank: number
  readonly ranks: readonly number[]
  readonly worldSize: number
  readonly timeoutMs: number
}

/** What the backends have in common: arguments are checked, deadlines set, and whatever goes wrong ends the world for all. */
export class CheckedGroup implements ProcessGroup {
  readonly backend: ProcessGroup['backend']
  readonly rank: number
  readonly ranks: readonly number[]
  readonly #transport: GroupTransport
  readonly #worldSize: number
  readonly #timeoutMs: number
  #isDestroyed = false

  constructor({ backend, transport, rank, ranks, worldSize, timeoutMs }: GroupOptions) {
    this.backend = backend
    this.rank = rank
    this.ranks = ranks
    this.#transport = transport
    this.#worldSize = worldSize
    this.#timeoutMs = timeoutMs
  }

  get size(): number {
    return this.ranks.length
  }

  allReduce(buffer: ReduceBuffer, { op = 'sum', ...options }: ReduceOptions = {}): void {
    this.call('allReduce', options, (call) => this.#transport.allReduce(call, buffer, op))
  }

  allGatherIntoTensor(output: GroupBuffer, input: GroupBuffer, options: CollectiveOptions = {}): void {
    this.call('allGatherIntoTensor', options, (call) => {
      checkParts(call, { whole: output, part: input }, this.size)
      this.#transport.allGather(call, { output, input })
    })
  }

  reduceScatterTensor(output: ReduceBuffer, input: ReduceBuffer, { op = 'sum', ...options }: ReduceOptions = {}): void {
    this.call('reduceScatterTensor', options, (call) => {
      checkParts(call, { whole: input, part: output }, this.size)
      this.#transport.reduceScatter(call, { output, input }, op)
    })
  }

  allToAllSingle(output: GroupBuffer, input: GroupBuffer, options: AllToAllOptions): void {
    this.call('allToAllSingle', options, (call) => {
      checkSameType(call, output, input)
      checkSplits(call, input, { splits: options.inputSplits, size: this.size })
      checkSplits(call, output, { splits: options.outputSplits, size: this.size })
      this.#transport.allToAll(call, { output, input }, options)
    })
  }

  broadcast(buffer: GroupBuffer, { src, ...options }: BroadcastOptions): void {
    this.call('broadcast', options, (call) => {
      if (src !== this.rank) checkPeer(call, src, this)
      this.#transport.broadcast(call, buffer, src)
    })
  }

  send(buffer: GroupBuffer, options: SendOptions): void {
    this.#send('send', buffer, options).wait()
  }

  recv(buffer: GroupBuffer, options: RecvOptions): void {
    this.#receive('recv', buffer, options).wait()
  }

  isend(buffer: GroupBuffer, options: SendOptions): Work {
    return this.#send('isend', buffer, options)
  }

  irecv(buffer: GroupBuffer, options: RecvOptions): Work {
    return this.#receive('irecv', buffer, options)
  }

  barrier(options: CollectiveOptions = {}): void {
    this.call('barrier', options, (call) => this.#transport.barrier(call))
  }

  abort(reason: string): void {
    this.#transport.abort({ reason, abortedBy: this.ranks[this.rank]! })
  }

  destroy(): void {
    if (this.#isDestroyed) return
    this.#isDestroyed = true
    const call = this.#newCall('destroy', this.#timeoutMs)
    this.#guarded(() => this.#transport.destroy(call))
  }

  /** Runs a call of this group: none after the end, and no failure that the other ranks would wait for. */
  protected call<T>(operation: string, { timeoutMs = this.#timeoutMs }: CollectiveOptions, body: (call: Call) => T): T {
    const call = this.#newCall(operation, timeoutMs)
    if (this.#isDestroyed) throw new CommunicationError(call, 'the group was destroyed before.')
    this.#transport.throwIfAborted(call)
    return this.#guarded(() => body(call))
  }

  #newCall(operation: string, timeoutMs: number): Call {
    const rank = this.ranks[this.rank]!
    return { operation, rank, worldSize: this.#worldSize, timeoutMs, deadline: performance.now() + timeoutMs }
  }

  #guarded<T>(body: () => T): T {
    try {
      return body()
    } catch (error) {
      if (error instanceof CommunicationError && !(error instanceof ProcessGroupAbortedError)) this.abort(error.message)
      throw error
    }
  }

  #send(operation: string, buffer: GroupBuffer, { dst, tag = 0, ...options }: SendOptions): Work {
    return this.call(operation, options, (call) => {
      checkPeer(call, dst, this)
      return this.#guardedWork(this.#transport.send(call, buffer, { peer: dst, tag }))
    })
  }

  #receive(operation: string, buffer: GroupBuffer, { src, tag = 0, ...options }: RecvOptions): Work {
    return this.call(operation, options, (call) => {
      checkPeer(call, src, this)
      return this.#guardedWork(this.#transport.receive(call, buffer, { peer: src, tag }))
    })
  }

  #guardedWork(work: Work): Work {
    return {
      wait: (timeoutMs) => this.#guarded(() => work.wait(timeoutMs)),
      isCompleted: () => this.#guarded(() => work.isCompleted()),
    }
  }
}
