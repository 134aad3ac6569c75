import { CollectiveMismatchError, CollectiveTimeoutError, ProcessGroupAbortedError } from '../process-group-errors.ts'
import type { Abort, FailedCall } from '../process-group-errors.ts'
import type { GroupBuffer, ReduceOp } from '../process-group.ts'
import { bytesOf } from './check-arguments.ts'
import type { Call } from './checked-group.ts'
import { reduceInto, startsOf } from './reduce.ts'
import type { ReduceBuffer } from './reduce.ts'

/** What a rank brings to a collective; its buffer is a copy. */
export type Contribution =
  /** `part`: the elements that each rank keeps, `null` for all. */
  | { readonly kind: 'reduce'; readonly input: ReduceBuffer; readonly op: ReduceOp; readonly part: number | null }
  | { readonly kind: 'gather' | 'barrier'; readonly input: GroupBuffer }
  | { readonly kind: 'broadcast'; readonly input: GroupBuffer; readonly src: number }
  | {
      readonly kind: 'exchange'
      readonly input: GroupBuffer
      readonly inputSplits: readonly number[]
      readonly outputSplits: readonly number[]
    }

interface Route {
  readonly group: number
  readonly src: number
  readonly dst: number
  readonly tag: number
}

/** The n-th message of a route. */
interface MessageId {
  readonly route: Route
  readonly n: number
}

type Wait =
  | {
      readonly kind: 'meet'
      readonly group: number
      readonly ranks: readonly number[]
      readonly contribution: Contribution
    }
  /** `look`: goes on without the message where it never comes. */
  | { readonly kind: 'receive' | 'look'; readonly message: MessageId }

interface Pending {
  readonly call: Call
  readonly wait: Wait
}

type Outcome = { readonly bytes: Uint8Array | null } | { readonly error: Error }

/** What one rank did so far, and how far this run of it has come. */
interface History {
  /** Of calls made: `null` or the error that they began with. */
  readonly entered: (Error | null)[]
  readonly outcomes: Outcome[]
  numEntered: number
  numWaits: number
}

/** Thrown out of a rank that waits for the others. */
class Waiting extends Error {}

/** Ranks take turns: each runs until it needs what is not known yet, and starts again when it is. */
export class FakeWorld {
  readonly size: number
  readonly #histories: readonly History[]
  readonly #pending = new Map<number, Pending>()
  readonly #messages = new Map<string, Uint8Array[]>()
  readonly #groups = new Map<number, string>()
  /** Sends and receives of this run, by route. */
  readonly #numSent = new Map<string, number>()
  readonly #numPosted = new Map<string, number>()
  #abort: Abort | null = null

  constructor(size: number) {
    this.size = size
    this.#histories = Array.from({ length: size }, () => ({ entered: [], outcomes: [], numEntered: 0, numWaits: 0 }))
  }

  run<T>(body: (rank: number) => T): T[] {
    for (;;) {
      const results: T[] = []
      this.#pending.clear()
      this.#numSent.clear()
      this.#numPosted.clear()
      for (const [rank, history] of this.#histories.entries()) {
        history.numEntered = history.numWaits = 0
        const result = this.#runOne(() => body(rank))
        // A body may have taken the wait for an error of its own.
        if (result !== null && !this.#pending.has(rank)) results.push(result.value)
      }
      if (results.length === this.size) return results
      this.#proceed()
    }
  }

  /** Every call begins here; one that began before the end goes on in later runs, too. */
  enter(call: FailedCall): void {
    this.#throwIfWaiting(call.rank)
    const history = this.#histories[call.rank]!
    const n = history.numEntered++
    if (n === history.entered.length)
      history.entered.push(this.#abort === null ? null : new ProcessGroupAbortedError(call, this.#abort))
    const error = history.entered[n]
    if (error) throw error
  }

  wait(call: Call, wait: Wait): Uint8Array | null {
    this.#throwIfWaiting(call.rank)
    const history = this.#histories[call.rank]!
    const outcome = history.outcomes[history.numWaits++]
    if (outcome === undefined) {
      this.#pending.set(call.rank, { call, wait })
      throw new Waiting()
    }
    if ('error' in outcome) throw outcome.error
    return outcome.bytes
  }

  send(route: Route, bytes: Uint8Array): void {
    const messages = this.#messagesOf(route)
    if (count(this.#numSent, keyOf(route)) === messages.length) messages.push(bytes)
  }

  /** Receives get a route's messages in the order in which they are posted. */
  postReceive(route: Route): MessageId {
    return { route, n: count(this.#numPosted, keyOf(route)) }
  }

  checkGroup(call: FailedCall, group: number, ranks: readonly number[]): void {
    const first = this.#groups.get(group) ?? ranks.join()
    this.#groups.set(group, first)
    if (first !== ranks.join())
      throw new CollectiveMismatchError(
        call,
        `another rank makes a group of [${first}], this one of [${ranks.join()}].`,
      )
  }

  abort(abort: Abort): void {
    this.#abort ??= abort
  }

  #runOne<T>(body: () => T): { readonly value: T } | null {
    try {
      return { value: body() }
    } catch (error) {
      if (error instanceof Waiting) return null
      throw error
    }
  }

  #throwIfWaiting(rank: number): void {
    if (this.#pending.has(rank)) throw new Waiting()
  }

  /** Finds out what at least one of the waiting ranks waits for. */
  #proceed(): void {
    const known = [...this.#pending].filter(([rank, pending]) => this.#tryFinish(rank, pending))
    if (known.length > 0) return
    if (this.#abort !== null) {
      const abort = this.#abort
      for (const [rank, { call }] of this.#pending)
        this.#finish(rank, { error: new ProcessGroupAbortedError(call, abort) })
      return
    }
    const looking = [...this.#pending].find(([, { wait }]) => wait.kind === 'look')
    if (looking !== undefined) return this.#finish(looking[0], { bytes: null })
    // Nothing moves any more: time passes until the first deadline.
    const [first] = [...this.#pending].sort(([, a], [, b]) => a.call.timeoutMs - b.call.timeoutMs)
    if (first === undefined) throw new Error('a rank ended without a result')
    const [rank, { call, wait }] = first
    this.#finish(rank, { error: new CollectiveTimeoutError(call, call.timeoutMs, this.#missingRanks(wait)) })
  }

  #tryFinish(rank: number, { call, wait }: Pending): boolean {
    if (wait.kind !== 'meet') {
      const bytes = this.#messagesOf(wait.message.route)[wait.message.n]
      if (bytes !== undefined) this.#finish(rank, { bytes })
      return bytes !== undefined
    }
    if (this.#missingRanks(wait).length > 0) return false
    const parts = wait.ranks.map((other) => this.#pending.get(other)!)
    this.#finish(rank, outcomeOf(call, { parts, place: wait.ranks.indexOf(rank) }))
    return true
  }

  #finish(rank: number, outcome: Outcome): void {
    this.#histories[rank]!.outcomes.push(outcome)
  }

  #missingRanks(wait: Wait): number[] {
    if (wait.kind !== 'meet') return [wait.message.route.src]
    return wait.ranks.filter((rank) => {
      const other = this.#pending.get(rank)?.wait
      return other?.kind !== 'meet' || other.group !== wait.group
    })
  }

  #messagesOf(route: Route): Uint8Array[] {
    const key = keyOf(route)
    const messages = this.#messages.get(key) ?? []
    this.#messages.set(key, messages)
    return messages
  }
}

function keyOf({ group, src, dst, tag }: Route): string {
  return [group, src, dst, tag].join()
}

/** The number before, which goes up by one. */
function count(counts: Map<string, number>, key: string): number {
  const n = counts.get(key) ?? 0
  counts.set(key, n + 1)
  return n
}

interface Meeting {
  /** In the group's order. */
  readonly parts: readonly Pending[]
  readonly place: number
}

function outcomeOf(call: Call, { parts, place }: Meeting): Outcome {
  const odd = parts.find((part) => describe(part) !== describe(parts[place]!))
  if (odd !== undefined)
    return {
      error: new CollectiveMismatchError(
        call,
        `rank ${odd.call.rank} came with ${describe(odd)}, this one with ${describe(parts[place]!)}. All ranks of a group must make the same calls with the same sizes.`,
      ),
    }
  return { bytes: bytesOf(resultOf(parts.map(contributionOf), place)) }
}

function contributionOf({ wait }: Pending): Contribution {
  if (wait.kind !== 'meet') throw new Error('a rank that waits for a message meets nobody')
  return wait.contribution
}

function describe(pending: Pending): string {
  const { kind, input } = contributionOf(pending)
  return `${pending.call.operation} (${kind === 'exchange' ? input.BYTES_PER_ELEMENT : input.byteLength})`
}

function resultOf(parts: readonly Contribution[], place: number): GroupBuffer {
  const own = parts[place]!
  switch (own.kind) {
    case 'reduce': {
      const sum = (parts[0]!.input as ReduceBuffer).slice()
      reduceInto(sum, [sum, ...parts.slice(1).map(({ input }) => input as ReduceBuffer)], own.op)
      return own.part === null ? sum : sum.slice(place * own.part, (place + 1) * own.part)
    }
    case 'gather':
      return joined(parts.map(({ input }) => input))
    case 'broadcast':
      return parts[own.src]!.input
    case 'exchange':
      return joined(
        parts.map((part) => {
          const starts = part.kind === 'exchange' ? startsOf(part.inputSplits, 1) : []
          return part.input.subarray(starts[place], starts[place + 1])
        }),
      )
    case 'barrier':
      return own.input
  }
}

function joined(parts: readonly GroupBuffer[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts.map(bytesOf)))
}
