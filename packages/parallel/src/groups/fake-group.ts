import { InvalidConfigError } from '@octavo/core'
import { CollectiveMismatchError } from '../process-group-errors.ts'
import type { Abort, FailedCall } from '../process-group-errors.ts'
import { defaultTimeoutMs } from '../process-group.ts'
import type { GroupBuffer, ProcessGroup, ReduceOp, Work, WorldProcessGroup } from '../process-group.ts'
import { bytesOf } from './check-arguments.ts'
import { CheckedGroup } from './checked-group.ts'
import type { Buffers, Call, GroupTransport, Message, Splits } from './checked-group.ts'
import { FakeWorld } from './fake-world.ts'
import type { Contribution } from './fake-world.ts'
import { checkNewGroup } from './new-group.ts'
import type { ReduceBuffer } from './reduce.ts'

/** Ranks in one thread, for tests. */
export interface FakeGroups {
  /**
   * The result of `body` for every rank. It runs from its beginning again whenever what it waits for is known, so it must
   * do the same each time and change nothing outside. A wait that nothing can end is a deadline that passes, at once.
   */
  run<T>(body: (world: WorldProcessGroup) => T): T[]
}

export function createFakeGroups(size: number, { timeoutMs = defaultTimeoutMs } = {}): FakeGroups {
  if (!Number.isSafeInteger(size) || size < 1)
    throw new InvalidConfigError('size', `is ${size}; a group has at least one rank.`)
  return {
    run<T>(body: (world: WorldProcessGroup) => T): T[] {
      const world = new FakeWorld(size)
      return world.run((rank) => body(new FakeProcessGroup(world, { rank, timeoutMs })))
    },
  }
}

class FakeProcessGroup extends CheckedGroup implements WorldProcessGroup {
  readonly #world: FakeWorld
  readonly #timeoutMs: number
  #numGroups = 0

  constructor(world: FakeWorld, { rank, timeoutMs }: { rank: number; timeoutMs: number }) {
    const ranks = Array.from({ length: world.size }, (_, i) => i)
    const transport = new FakeTransport(world, { group: 0, ranks, rank })
    super({ backend: 'fake', transport, rank, ranks, worldSize: world.size, timeoutMs })
    this.#world = world
    this.#timeoutMs = timeoutMs
  }

  newGroup(ranks: readonly number[]): ProcessGroup | null {
    checkNewGroup(ranks, this.size)
    const group = ++this.#numGroups
    this.call('newGroup', {}, (call) => {
      const contribution = { kind: 'barrier', input: Int32Array.from(ranks) } as const
      this.#world.wait(call, { kind: 'meet', group: 0, ranks: this.ranks, contribution })
      this.#world.checkGroup(call, group, ranks)
    })
    const place = ranks.indexOf(this.rank)
    if (place === -1) return null
    return new CheckedGroup({
      backend: 'fake',
      transport: new FakeTransport(this.#world, { group, ranks, rank: place }),
      rank: place,
      ranks,
      worldSize: this.size,
      timeoutMs: this.#timeoutMs,
    })
  }
}

interface FakeMembership {
  readonly group: number
  readonly ranks: readonly number[]
  /** In the group. */
  readonly rank: number
}

class FakeTransport implements GroupTransport {
  readonly #world: FakeWorld
  readonly #membership: FakeMembership

  constructor(world: FakeWorld, membership: FakeMembership) {
    this.#world = world
    this.#membership = membership
  }

  allReduce(call: Call, buffer: ReduceBuffer, op: ReduceOp): void {
    this.#meet(call, { kind: 'reduce', op, input: buffer.slice(), part: null }, buffer)
  }

  allGather(call: Call, { output, input }: Buffers<GroupBuffer>): void {
    this.#meet(call, { kind: 'gather', input: input.slice() }, output)
  }

  reduceScatter(call: Call, { output, input }: Buffers<ReduceBuffer>, op: ReduceOp): void {
    this.#meet(call, { kind: 'reduce', op, input: input.slice(), part: output.length }, output)
  }

  allToAll(call: Call, { output, input }: Buffers<GroupBuffer>, { inputSplits, outputSplits }: Splits): void {
    this.#meet(call, { kind: 'exchange', input: input.slice(), inputSplits, outputSplits }, output)
  }

  broadcast(call: Call, buffer: GroupBuffer, src: number): void {
    this.#meet(call, { kind: 'broadcast', input: buffer.slice(), src }, buffer)
  }

  barrier(call: Call): void {
    this.#meet(call, { kind: 'barrier', input: new Uint8Array() }, new Uint8Array())
  }

  send(_call: Call, buffer: GroupBuffer, { peer, tag }: Message): Work {
    const { group, ranks, rank } = this.#membership
    this.#world.send({ group, src: ranks[rank]!, dst: ranks[peer]!, tag }, bytesOf(buffer).slice())
    return { wait: () => {}, isCompleted: () => true }
  }

  receive(call: Call, buffer: GroupBuffer, { peer, tag }: Message): Work {
    const { group, ranks, rank } = this.#membership
    const message = this.#world.postReceive({ group, src: ranks[peer]!, dst: ranks[rank]!, tag })
    let isDone = false
    const take = (bytes: Uint8Array | null): boolean => {
      if (bytes === null) return false
      if (bytes.length !== buffer.byteLength)
        throw new CollectiveMismatchError(
          call,
          `the message with tag ${tag} has ${bytes.length} bytes, the buffer for it ${buffer.byteLength}.`,
        )
      bytesOf(buffer).set(bytes)
      return (isDone = true)
    }
    return {
      isCompleted: () => isDone || take(this.#world.wait(call, { kind: 'look', message })),
      wait: (timeoutMs = call.timeoutMs) =>
        void (isDone || take(this.#world.wait({ ...call, timeoutMs }, { kind: 'receive', message }))),
    }
  }

  throwIfAborted(call: FailedCall): void {
    this.#world.enter(call)
  }

  abort(abort: Abort): void {
    this.#world.abort(abort)
  }

  destroy(): void {}

  #meet(call: Call, contribution: Contribution, output: GroupBuffer): void {
    const { group, ranks } = this.#membership
    bytesOf(output).set(this.#world.wait(call, { kind: 'meet', group, ranks, contribution }) ?? [])
  }
}
