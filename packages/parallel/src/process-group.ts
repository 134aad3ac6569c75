/** Groups of ranks under torch.distributed's names. All calls block and are made on a rank's own thread, in the same order on every rank. */

/** How the values of a reduction are joined; sums are taken in rank order. */
export type ReduceOp = 'sum' | 'max'

/** Also a view on a SharedArrayBuffer. */
export type GroupBuffer = Float32Array | Int32Array | Uint8Array

export interface CollectiveOptions {
  /** A deadline for this call alone; the group's own unless given. */
  readonly timeoutMs?: number
}

export interface ReduceOptions extends CollectiveOptions {
  /** `sum` unless given. */
  readonly op?: ReduceOp
}

export interface BroadcastOptions extends CollectiveOptions {
  /** The rank in the group that has the values. */
  readonly src: number
}

export interface SendOptions extends CollectiveOptions {
  readonly dst: number
  /** 0 unless given; a message goes to a receive of the same tag. */
  readonly tag?: number
}

export interface RecvOptions extends CollectiveOptions {
  readonly src: number
  readonly tag?: number
}

/** How many elements go to each rank, and come from each. */
export interface AllToAllOptions extends CollectiveOptions {
  readonly inputSplits: readonly number[]
  readonly outputSplits: readonly number[]
}

/** A transfer under way: its buffer belongs to it until `wait` returns. */
export interface Work {
  wait(timeoutMs?: number): void
  isCompleted(): boolean
}

export interface ProcessGroup {
  readonly backend: 'threads' | 'mpi' | 'fake'
  /** This rank's place in the group. */
  readonly rank: number
  readonly size: number
  /** The members as ranks of the world, in the group's order. */
  readonly ranks: readonly number[]
  /** In place: `((r0 + r1) + r2) + …` in the buffer's own type, whatever the size of the message. */
  allReduce(buffer: Float32Array | Int32Array, options?: ReduceOptions): void
  /** `output` holds the ranks' inputs one behind the other. */
  allGatherIntoTensor(output: GroupBuffer, input: GroupBuffer, options?: CollectiveOptions): void
  /** `output` is this rank's part of the reduced inputs, which hold one part per rank. */
  reduceScatterTensor(
    output: Float32Array | Int32Array,
    input: Float32Array | Int32Array,
    options?: ReduceOptions,
  ): void
  allToAllSingle(output: GroupBuffer, input: GroupBuffer, options: AllToAllOptions): void
  broadcast(buffer: GroupBuffer, options: BroadcastOptions): void
  /** Returns when the buffer may be written again, which may be before it was received. */
  send(buffer: GroupBuffer, options: SendOptions): void
  recv(buffer: GroupBuffer, options: RecvOptions): void
  isend(buffer: GroupBuffer, options: SendOptions): Work
  irecv(buffer: GroupBuffer, options: RecvOptions): Work
  barrier(options?: CollectiveOptions): void
  /** Ends the world that the group belongs to: every rank's waiting or next call throws a `ProcessGroupAbortedError`. */
  abort(reason: string): void
  /** Gives up what the group holds; for the world of `mpi` it is collective. */
  destroy(): void
}

/** The group of all ranks, which others are made of. */
export interface WorldProcessGroup extends ProcessGroup {
  /** The group of `ranks`, or `null` where this rank is none of them. Every rank of the world makes the same calls. */
  newGroup(ranks: readonly number[]): ProcessGroup | null
}

export const defaultTimeoutMs = 60_000
