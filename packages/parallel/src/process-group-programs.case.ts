/** What the shared suite runs on every rank: plain programs, since ranks are threads and processes that know no vitest. */
import { initDeviceMesh } from './device-mesh.ts'
import { newGroup } from './init-process-group.ts'
import type { ProcessGroup, WorldProcessGroup } from './process-group.ts'

export interface GroupProgram {
  /** Plain data, which may travel as JSON. */
  run(world: WorldProcessGroup): unknown
  expected(rank: number, size: number): unknown
}

/** Beyond a chunk, and not on its border. */
const lengths = [0, 1, 3, 1000, 65_536, 200_003]

const scales = [1, 10, 1e2, 1e3, 1e4, 1e5, 1e6]

/** Values whose sums depend on the order of addition. */
function valuesFor(rank: number, length: number): Float32Array {
  const values = new Float32Array(length)
  let state = (rank + 1) * 2_654_435_761 + length
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    values[i] = (state / 2 ** 31) * scales[i % scales.length]!
  }
  return values
}

/** `((r0 + r1) + r2) + …`, each step rounded to float32. */
function sumOf(size: number, length: number, ranks = range(size)): Float32Array {
  const [first = 0, ...others] = ranks
  const sum = valuesFor(first, length)
  for (const rank of others) {
    const values = valuesFor(rank, length)
    for (let i = 0; i < length; i++) sum[i] = Math.fround(sum[i]! + values[i]!)
  }
  return sum
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i)
}

/** A number that two buffers share only if their bits are equal. */
function digest(values: Float32Array | Int32Array | Uint8Array): string {
  let hash = 2_166_136_261
  for (const byte of new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    hash = Math.imul(hash ^ byte, 16_777_619)
  return `${values.length}:${(hash >>> 0).toString(16)}`
}

function bytesFor(rank: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = (i * 7 + rank * 13) % 251
  return bytes
}

/** How much goes from one rank to another: nothing, little, and beyond a piece. */
function splitOf(src: number, dst: number): number {
  return [0, 3, 40_001, 17][(src + 2 * dst) % 4]!
}

function fromTo(src: number, dst: number): Float32Array {
  return valuesFor(src * 100 + dst, splitOf(src, dst))
}

function joined<T extends Float32Array | Uint8Array>(parts: readonly T[], whole: (length: number) => T): T {
  const joined = whole(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.length
  }
  return joined
}

const newFloats = (length: number) => new Float32Array(length)
const newBytes = (length: number) => new Uint8Array(length)

function ringOf(group: ProcessGroup): { next: number; last: number } {
  return { next: (group.rank + 1) % group.size, last: (group.rank + group.size - 1) % group.size }
}

/** By name; each leaves the world usable for the next. */
export const groupPrograms: Readonly<Record<string, GroupProgram>> = {
  'a group knows its rank, its size and its ranks': {
    run: ({ rank, size, ranks }) => ({ rank, size, ranks }),
    expected: (rank, size) => ({ rank, size, ranks: range(size) }),
  },
  'sums are taken in rank order, whatever the size': {
    run: (world) =>
      lengths.map((length) => {
        const values = valuesFor(world.rank, length)
        world.allReduce(values)
        return digest(values)
      }),
    expected: (_, size) => lengths.map((length) => digest(sumOf(size, length))),
  },
  'sums of many small messages in a row': {
    run: (world) => {
      const values = new Float32Array(8)
      for (let i = 0; i < 500; i++) {
        values.fill(world.rank + i)
        world.allReduce(values)
        if (values[7] !== world.size * i + (world.size * (world.size - 1)) / 2) return `wrong in round ${i}`
      }
      return 'right'
    },
    expected: () => 'right',
  },
  'integers wrap, and the largest value wins': {
    run: (world) => {
      const sum = Int32Array.of(2 ** 30, world.rank, -1)
      world.allReduce(sum)
      const largest = Int32Array.of(-world.rank, world.rank * 5)
      world.allReduce(largest, { op: 'max' })
      const floats = Float32Array.of(-1.5 - world.rank, world.rank + 0.25)
      world.allReduce(floats, { op: 'max' })
      return [[...sum], [...largest], [...floats]]
    },
    expected: (_, size) => [
      [(size * 2 ** 30) | 0, (size * (size - 1)) / 2, -size],
      [0, (size - 1) * 5],
      [-1.5, size - 0.75],
    ],
  },
  'buffers may be parts of others, and lie in shared memory': {
    run: (world) => {
      const shared = new Float32Array(new SharedArrayBuffer(64 * 4), 4, 40)
      shared.set(valuesFor(world.rank, 40))
      world.allReduce(shared.subarray(3, 30))
      const plain = valuesFor(world.rank, 40)
      world.allReduce(plain.subarray(3, 30))
      return [digest(shared), digest(plain)]
    },
    expected: (rank, size) => {
      const values = valuesFor(rank, 40)
      values.set(sumOf(size, 40).subarray(3, 30), 3)
      return [digest(values), digest(values)]
    },
  },
  'gathered parts lie in rank order': {
    run: (world) =>
      lengths.map((length) => {
        const floats = new Float32Array(length * world.size)
        world.allGatherIntoTensor(floats, valuesFor(world.rank, length))
        const bytes = new Uint8Array(length * world.size)
        world.allGatherIntoTensor(bytes, bytesFor(world.rank, length))
        return [digest(floats), digest(bytes)]
      }),
    expected: (_, size) =>
      lengths.map((length) => [
        digest(
          joined(
            range(size).map((rank) => valuesFor(rank, length)),
            newFloats,
          ),
        ),
        digest(
          joined(
            range(size).map((rank) => bytesFor(rank, length)),
            newBytes,
          ),
        ),
      ]),
  },
  'each rank gets its part of the sums': {
    run: (world) =>
      lengths.map((length) => {
        const output = new Float32Array(length)
        world.reduceScatterTensor(output, valuesFor(world.rank, length * world.size))
        const largest = new Int32Array(3)
        const input = Int32Array.from({ length: 3 * world.size }, (_, i) => i * (world.rank - 1))
        world.reduceScatterTensor(largest, input, { op: 'max' })
        return [digest(output), [...largest]]
      }),
    expected: (rank, size) =>
      lengths.map((length) => [
        digest(sumOf(size, length * size).subarray(rank * length, (rank + 1) * length)),
        range(3).map((i) => (rank * 3 + i) * Math.max(size - 2, 0) || 0),
      ]),
  },
  'all-to-all with uneven splits': {
    run: (world) => {
      const ranks = range(world.size)
      const inputSplits = ranks.map((dst) => splitOf(world.rank, dst))
      const outputSplits = ranks.map((src) => splitOf(src, world.rank))
      const output = new Float32Array(outputSplits.reduce((sum, split) => sum + split, 0))
      world.allToAllSingle(
        output,
        joined(
          ranks.map((dst) => fromTo(world.rank, dst)),
          newFloats,
        ),
        { inputSplits, outputSplits },
      )
      return digest(output)
    },
    expected: (rank, size) =>
      digest(
        joined(
          range(size).map((src) => fromTo(src, rank)),
          newFloats,
        ),
      ),
  },
  'every rank can broadcast': {
    run: (world) =>
      range(world.size).flatMap((src) =>
        lengths.map((length) => {
          const values = valuesFor(world.rank, length)
          world.broadcast(values, { src })
          return digest(values)
        }),
      ),
    expected: (_, size) => range(size).flatMap((src) => lengths.map((length) => digest(valuesFor(src, length)))),
  },
  'messages around a ring, all sending first': {
    run: (world) => {
      const { next, last } = ringOf(world)
      return lengths.map((length) => {
        const work = world.isend(valuesFor(world.rank, length), { dst: next })
        const received = new Float32Array(length)
        world.recv(received, { src: last })
        work.wait()
        return [digest(received), work.isCompleted()]
      })
    },
    expected: (rank, size) => lengths.map((length) => [digest(valuesFor((rank + size - 1) % size, length)), true]),
  },
  'a send and its receive, one after the other': {
    run: (world) => {
      const values = new Float32Array(300_000)
      if (world.rank === 0) world.send(valuesFor(7, values.length), { dst: 1, tag: 5 })
      if (world.rank === 1) world.recv(values, { src: 0, tag: 5 })
      return world.rank === 1 ? digest(values) : null
    },
    expected: (rank) => (rank === 1 ? digest(valuesFor(7, 300_000)) : null),
  },
  'a message goes to the receive of its tag, in order': {
    run: (world) => {
      const { next, last } = ringOf(world)
      const works = [3, 4, 3].map((tag, i) => world.isend(Int32Array.of(world.rank, tag, i), { dst: next, tag }))
      const received = [4, 3, 3].map((tag) => {
        const values = new Int32Array(3)
        world.irecv(values, { src: last, tag }).wait()
        return [...values]
      })
      for (const work of works) work.wait()
      return received
    },
    expected: (rank, size) => {
      const last = (rank + size - 1) % size
      return [
        [last, 4, 1],
        [last, 3, 0],
        [last, 3, 2],
      ]
    },
  },
  'messages pass beside collectives': {
    run: (world) => {
      const { next, last } = ringOf(world)
      const work = world.isend(valuesFor(world.rank, 200_003), { dst: next })
      const sum = valuesFor(world.rank, 1000)
      const received = new Float32Array(200_003)
      const receipt = world.irecv(received, { src: last })
      world.allReduce(sum)
      receipt.wait()
      work.wait()
      world.barrier()
      return [digest(sum), digest(received)]
    },
    expected: (rank, size) => [digest(sumOf(size, 1000)), digest(valuesFor((rank + size - 1) % size, 200_003))],
  },
  'groups of some ranks, in an order of their own': {
    run: (world) => {
      const reversed = range(world.size).reverse()
      const whole = newGroup(world, reversed)!
      const values = valuesFor(world.rank, 500)
      whole.allReduce(values)
      const withoutLast = newGroup(world, range(world.size - 1))
      const sum = Int32Array.of(1)
      withoutLast?.allReduce(sum)
      return [whole.rank, whole.ranks, digest(values), withoutLast === null ? null : sum[0]]
    },
    expected: (rank, size) => {
      const reversed = range(size).reverse()
      const isMember = rank < size - 1
      return [size - 1 - rank, reversed, digest(sumOf(size, 500, reversed)), isMember ? size - 1 : null]
    },
  },
  'a mesh of two stages': {
    run: (world) => {
      if (world.size % 2 !== 0) return 'uneven'
      const mesh = initDeviceMesh(world, { pp: 2, tp: world.size / 2 })
      const sum = Int32Array.of(world.rank)
      mesh.getGroup('tp').allReduce(sum)
      const stages = new Int32Array(2)
      mesh.getGroup('pp').allGatherIntoTensor(stages, Int32Array.of(world.rank))
      return [mesh.coordinates.pp, mesh.coordinates.tp, sum[0], [...stages], mesh.getGroup('ep').size]
    },
    expected: (rank, size) => {
      if (size % 2 !== 0) return 'uneven'
      const width = size / 2
      const first = rank < width ? 0 : width
      const place = rank - first
      return [first / width, place, width * first + (width * (width - 1)) / 2, [place, place + width], 1]
    },
  },
}

/** The last word of a world: each ends it. */
const endingPrograms: Readonly<Record<string, (world: WorldProcessGroup) => unknown>> = {
  timeout: (world) => {
    // From here on nobody is late because it has yet to start.
    world.barrier()
    return [
      world.rank === 0
        ? failureOf(() => world.recv(new Float32Array(1), { src: 1 }))
        : failureOf(() => world.allReduce(new Float32Array(5), { timeoutMs: 1000 })),
      failureOf(() => world.barrier()),
    ]
  },
  abort: (world) => {
    if (world.rank !== 1) return [failureOf(() => world.allReduce(new Float32Array(5)))]
    world.abort('the test says so')
    return [failureOf(() => world.barrier())]
  },
  'abort while others look': (world) => {
    if (world.rank === 1) world.abort('look elsewhere')
    return [
      failureOf(() => {
        const work = world.irecv(new Float32Array(5), { src: (world.rank + 1) % world.size })
        while (!work.isCompleted());
      }),
    ]
  },
  'abort in a group': (world) => {
    const group = newGroup(world, [0, 1])
    if (world.rank === 1) group!.abort('a part says so')
    return [failureOf(() => world.barrier())]
  },
  'wrong sizes': (world) =>
    world.rank === 0
      ? [failureOf(() => world.allGatherIntoTensor(new Float32Array(5), new Float32Array(2)))]
      : [failureOf(() => world.barrier())],
  /** Somebody who is no rank ends it meanwhile. */
  watchdog: (world) => [
    failureOf(() => (world.rank === 0 ? world.recv(new Float32Array(1), { src: 1 }) : world.barrier())),
  ],
  'destroyed before': (world) => {
    world.destroy()
    return [failureOf(() => world.barrier())]
  },
}

function failureOf(call: () => void): unknown {
  try {
    call()
    return null
  } catch (error) {
    // As data: fields are what programs may rely on.
    return error instanceof Error ? { ...error, name: error.name, message: error.message } : error
  }
}

/** The results on one rank of programs by name. */
export function runPrograms(world: WorldProcessGroup, names: readonly string[]): unknown[] {
  return names.map((name) => (groupPrograms[name]?.run ?? endingPrograms[name]!)(world))
}
