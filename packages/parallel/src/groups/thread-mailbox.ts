import { CollectiveMismatchError } from '../process-group-errors.ts'
import { bytesOf } from './check-arguments.ts'
import type { Call, Message } from './checked-group.ts'
import type { GroupBuffer, Work } from '../process-group.ts'
import { roundUp } from './round-up.ts'
import { lineBytes, messageAlignment } from './thread-memory.ts'
import type { GroupLayout } from './thread-memory.ts'
import type { ThreadWorld } from './thread-world.ts'

interface Transfer {
  readonly call: Call
  readonly tag: number
  readonly bytes: Uint8Array
  isDone: boolean
}

/** A message of which a part may still be in the sender. */
interface Arriving {
  readonly tag: number
  readonly bytes: Uint8Array
  numRead: number
  /** Who wants it, once it is known. */
  receive: Transfer | null
}

export interface MailboxOptions {
  readonly world: ThreadWorld
  readonly layout: GroupLayout
  /** Of the group in the shared memory. */
  readonly start: number
  readonly rank: number
  readonly ranks: readonly number[]
}

/** Messages of a group: a ring of bytes for each pair of ranks, written by one and read by the other. */
export class ThreadMailbox {
  readonly #world: ThreadWorld
  readonly #ranks: readonly number[]
  readonly #outgoing: readonly Ring[]
  readonly #incoming: readonly Ring[]
  /** Per destination, in order. */
  readonly #sends: readonly Outbox[]
  readonly #receives: readonly Inbox[]
  /** Transfers that are not done: without any there is nothing to move. */
  #numOpen = 0

  constructor({ world, layout, start, rank, ranks }: MailboxOptions) {
    const size = ranks.length
    const ring = (src: number, dst: number) =>
      new Ring(
        world.buffer,
        start + layout.rings + (src * size + dst) * (lineBytes + layout.ringBytes),
        layout.ringBytes,
      )
    this.#world = world
    this.#ranks = ranks
    this.#outgoing = ranks.map((_, dst) => ring(rank, dst))
    this.#incoming = ranks.map((_, src) => ring(src, rank))
    this.#sends = ranks.map(() => new Outbox())
    this.#receives = ranks.map(() => new Inbox())
  }

  send(call: Call, buffer: GroupBuffer, { peer, tag }: Message): Work {
    const transfer: Transfer = { call, tag, bytes: bytesOf(buffer), isDone: false }
    this.#sends[peer]!.queue.push(transfer)
    this.#numOpen++
    this.progress()
    return this.#workOf(transfer, peer)
  }

  receive(call: Call, buffer: GroupBuffer, { peer, tag }: Message): Work {
    const transfer: Transfer = { call, tag, bytes: bytesOf(buffer), isDone: false }
    this.#receives[peer]!.post(transfer)
    this.#numOpen++
    this.progress()
    return this.#workOf(transfer, peer)
  }

  /** Moves what can be moved; called wherever a rank waits, so that two ranks that both send first get on. */
  progress(): void {
    if (this.#numOpen === 0) return
    this.#numOpen = 0
    for (let peer = 0; peer < this.#ranks.length; peer++) {
      const hasWritten = this.#sends[peer]!.progress(this.#outgoing[peer]!)
      const hasRead = this.#receives[peer]!.progress(this.#incoming[peer]!)
      if (hasWritten || hasRead) this.#world.ring(this.#ranks[peer]!)
      this.#numOpen += this.#sends[peer]!.numOpen + this.#receives[peer]!.numOpen
    }
  }

  #workOf(transfer: Transfer, peer: number): Work {
    const isCompleted = (): boolean => {
      if (!transfer.isDone) this.progress()
      if (!transfer.isDone) this.#world.throwIfAborted(transfer.call)
      return transfer.isDone
    }
    return {
      isCompleted,
      wait: (timeoutMs = transfer.call.timeoutMs) => {
        if (isCompleted()) return
        const call = { ...transfer.call, timeoutMs, deadline: performance.now() + timeoutMs }
        this.#world.waitFor(call, isCompleted, () => [this.#ranks[peer]!])
      },
    }
  }
}

/** One writer, one reader. Both counters go up for ever; their difference is what lies in between. */
class Ring {
  readonly #counters: Int32Array
  readonly #bytes: Uint8Array
  readonly #heads: Int32Array

  constructor(buffer: SharedArrayBuffer, start: number, size: number) {
    this.#counters = new Int32Array(buffer, start, 2)
    this.#bytes = new Uint8Array(buffer, start + lineBytes, size)
    this.#heads = new Int32Array(buffer, start + lineBytes, size / 4)
  }

  /** Bytes that may be read. */
  get numFilled(): number {
    return (Atomics.load(this.#counters, 0) - Atomics.load(this.#counters, 1)) | 0
  }

  get numFree(): number {
    return this.#bytes.length - this.numFilled
  }

  writeHead(tag: number, numBytes: number): void {
    const at = this.#positionOf(0) / 4
    this.#heads[at] = tag
    this.#heads[at + 1] = numBytes % 2 ** 32
    this.#heads[at + 2] = Math.floor(numBytes / 2 ** 32)
    this.#advance(0, messageAlignment)
  }

  readHead(): { tag: number; numBytes: number } {
    const at = this.#positionOf(1) / 4
    const tag = this.#heads[at]!
    const numBytes = (this.#heads[at + 1]! >>> 0) + this.#heads[at + 2]! * 2 ** 32
    this.#advance(1, messageAlignment)
    return { tag, numBytes }
  }

  /** `numBytes` must be free; the last part of a message is padded. */
  write(bytes: Uint8Array): void {
    const at = this.#positionOf(0)
    const numFirst = Math.min(bytes.length, this.#bytes.length - at)
    this.#bytes.set(bytes.subarray(0, numFirst), at)
    if (numFirst < bytes.length) this.#bytes.set(bytes.subarray(numFirst), 0)
    this.#advance(0, roundUp(bytes.length, messageAlignment))
  }

  read(into: Uint8Array): void {
    const at = this.#positionOf(1)
    const numFirst = Math.min(into.length, this.#bytes.length - at)
    into.set(this.#bytes.subarray(at, at + numFirst))
    if (numFirst < into.length) into.set(this.#bytes.subarray(0, into.length - numFirst), numFirst)
    this.#advance(1, roundUp(into.length, messageAlignment))
  }

  #positionOf(counter: 0 | 1): number {
    return Atomics.load(this.#counters, counter) & (this.#bytes.length - 1)
  }

  #advance(counter: 0 | 1, numBytes: number): void {
    Atomics.add(this.#counters, counter, numBytes)
  }
}

class Outbox {
  readonly queue: Transfer[] = []
  #numWritten = 0
  #hasHead = false

  get numOpen(): number {
    return this.queue.length
  }

  /** Whether something was written. */
  progress(ring: Ring): boolean {
    let hasWritten = false
    for (let [transfer] = this.queue; transfer !== undefined; [transfer] = this.queue) {
      if (!this.#hasHead) {
        if (ring.numFree < messageAlignment) return hasWritten
        ring.writeHead(transfer.tag, transfer.bytes.length)
        this.#hasHead = hasWritten = true
      }
      const numLeft = transfer.bytes.length - this.#numWritten
      const numNow = Math.min(numLeft, ring.numFree)
      if (numNow > 0) {
        ring.write(transfer.bytes.subarray(this.#numWritten, this.#numWritten + numNow))
        this.#numWritten += numNow
        hasWritten = true
      }
      if (numNow < numLeft) return hasWritten
      transfer.isDone = true
      this.queue.shift()
      this.#numWritten = 0
      this.#hasHead = false
    }
    return hasWritten
  }
}

class Inbox {
  readonly #posted: Transfer[] = []
  /** Messages that came before somebody asked for their tag. */
  readonly #early: Arriving[] = []
  #arriving: Arriving | null = null

  get numOpen(): number {
    return this.#posted.length + (this.#arriving?.receive ? 1 : 0)
  }

  post(transfer: Transfer): void {
    const early = [...this.#early, ...(this.#arriving === null ? [] : [this.#arriving])]
    const arrived = early.find(({ tag, receive }) => receive === null && tag === transfer.tag)
    if (arrived === undefined) {
      this.#posted.push(transfer)
      return
    }
    checkLength(transfer, arrived.bytes.length)
    arrived.receive = transfer
    if (arrived !== this.#arriving) {
      this.#early.splice(this.#early.indexOf(arrived), 1)
      this.#finish(arrived)
    }
  }

  /** Reads only while somebody waits for a message: what nobody wants stays with its sender. */
  progress(ring: Ring): boolean {
    let hasRead = false
    while (this.#posted.length > 0 || this.#arriving?.receive) {
      if (this.#arriving === null) {
        if (ring.numFilled < messageAlignment) return hasRead
        this.#arriving = this.#startOf(ring.readHead())
        hasRead = true
      }
      const { bytes, numRead } = this.#arriving
      const numNow = Math.min(bytes.length - numRead, ring.numFilled)
      if (numNow > 0) {
        ring.read(bytes.subarray(numRead, numRead + numNow))
        this.#arriving.numRead += numNow
        hasRead = true
      }
      if (this.#arriving.numRead < bytes.length) return hasRead
      if (this.#arriving.receive === null) this.#early.push(this.#arriving)
      else this.#finish(this.#arriving)
      this.#arriving = null
    }
    return hasRead
  }

  #startOf({ tag, numBytes }: { tag: number; numBytes: number }): Arriving {
    const place = this.#posted.findIndex((transfer) => transfer.tag === tag)
    const [receive = null] = place === -1 ? [] : this.#posted.splice(place, 1)
    if (receive !== null) checkLength(receive, numBytes)
    return { tag, bytes: receive?.bytes ?? new Uint8Array(numBytes), numRead: 0, receive }
  }

  #finish({ bytes, receive }: Arriving): void {
    if (receive === null) return
    if (bytes !== receive.bytes) receive.bytes.set(bytes)
    receive.isDone = true
  }
}

function checkLength({ call, bytes, tag }: Transfer, numBytes: number): void {
  if (numBytes !== bytes.length)
    throw new CollectiveMismatchError(
      call,
      `the message with tag ${tag} has ${numBytes} bytes, the buffer for it ${bytes.length}.`,
    )
}
