import { concat, tensor, tidy } from '@tensorflow/tfjs-core'
import type { Tensor } from '@tensorflow/tfjs-core'
import type { Communicator } from './communicator.ts'

/** Thrown out of a rank that waits for the others. */
class Waiting extends Error {}

interface Values {
  readonly data: Float32Array
  readonly shape: readonly number[]
}

type Operation =
  | { readonly name: 'allReduce' }
  | { readonly name: 'allGather'; readonly axis: number }
  | { readonly name: 'allToAll'; readonly inputRows: readonly number[]; readonly outputRows: readonly number[] }

/** What one rank brings to a call. */
interface Part extends Values {
  readonly operation: Operation
}

/**
 * Ranks in one thread, for tests: each runs until it needs a result that is not known yet; when all have come there it is
 * computed and all start again from the beginning. Quadratic in the number of calls, which is nothing for tiny models. What
 * a rank does before its last call is done several times and must be the same each time.
 */
export class ReplayGroup {
  readonly communicators: readonly Communicator[]
  /** Of the calls that all ranks have made, in order: each rank's result for the next run. */
  #known: (readonly Values[])[] = []
  #pending: Part[] = []
  #numCalls = 0

  constructor(size: number) {
    this.communicators = Array.from({ length: size }, (_, rank) => ({
      rank,
      size,
      allReduce: <T extends Tensor>(x: T): T => this.#exchange(rank, x, { name: 'allReduce' }),
      allGather: <T extends Tensor>(x: T, axis: number): T => this.#exchange(rank, x, { name: 'allGather', axis }),
      allToAll: (x, inputRows, outputRows) => this.#exchange(rank, x, { name: 'allToAll', inputRows, outputRows }),
    }))
  }

  /** The result of `body`, which returns no tensors, for every rank; the ranks must make the same calls. */
  run<Result>(body: (rank: number) => Result): Result[] {
    this.#known = []
    for (;;) {
      this.#pending = []
      const results: Result[] = []
      for (const { rank } of this.communicators) {
        this.#numCalls = 0
        try {
          tidy(() => void results.push(body(rank)))
        } catch (error) {
          if (!(error instanceof Waiting)) throw error
        }
      }
      if (results.length === this.communicators.length) return results
      if (this.#pending.length !== this.communicators.length) throw differentCalls()
      this.#known.push(combine(this.#pending))
    }
  }

  #exchange<T extends Tensor>(rank: number, x: T, operation: Operation): T {
    const known = this.#known[this.#numCalls++]?.[rank]
    // A sum has its parts' shape, and the others' have its rank, which the type of `tensor` cannot say.
    if (known !== undefined) return tensor(known.data, [...known.shape]) as T
    this.#pending.push({ operation, data: Float32Array.from(x.dataSync<'float32'>()), shape: x.shape })
    throw new Waiting()
  }
}

function differentCalls(): Error {
  return new Error('the ranks do not make the same calls')
}

/** What each rank gets. */
function combine(parts: readonly Part[]): readonly Values[] {
  const [first] = parts
  if (first === undefined || parts.some(({ operation }) => operation.name !== first.operation.name))
    throw differentCalls()
  const { operation, shape } = first
  if (operation.name === 'allToAll') return exchangeRows(parts)
  if (parts.some((part) => part.shape.join() !== shape.join()))
    throw new Error(`${operation.name} of [${parts.map((part) => part.shape.join()).join('] and [')}]`)
  const result = operation.name === 'allReduce' ? { shape, data: sumInOrder(parts) } : join(parts, operation.axis)
  return parts.map(() => result)
}

function sumInOrder(parts: readonly Values[]): Float32Array {
  const [first, ...others] = parts.map(({ data }) => data)
  return first!.map((value, i) => others.reduce((sum, data) => Math.fround(sum + data[i]!), value))
}

function join(parts: readonly Values[], axis: number): Values {
  const joined = tidy(() =>
    concat(
      parts.map(({ data, shape }) => tensor(data, [...shape])),
      axis,
    ),
  )
  const values = { data: joined.dataSync<'float32'>().slice(), shape: joined.shape }
  joined.dispose()
  return values
}

function exchangeRows(parts: readonly Part[]): Values[] {
  const width = parts[0]!.shape[1]!
  const pieces = parts.map(({ operation, data, shape }, source) => {
    if (operation.name !== 'allToAll') throw differentCalls()
    const { inputRows } = operation
    if (inputRows.reduce((sum, count) => sum + count, 0) !== shape[0])
      throw new Error(`rank ${source} sends ${inputRows.join(' + ')} of ${shape[0]} rows`)
    let from = 0
    return inputRows.map((count) => data.subarray(from * width, (from += count) * width))
  })
  return parts.map(({ operation }, rank) => {
    if (operation.name !== 'allToAll') throw differentCalls()
    const received = pieces.map((sent) => sent[rank]!)
    const { outputRows } = operation
    received.forEach(({ length }, source) => {
      if (length !== outputRows[source]! * width)
        throw new Error(
          `rank ${source} sends ${length / width} rows to rank ${rank}, which expects ${outputRows[source]}`,
        )
    })
    const data = Float32Array.from(received.flatMap((piece) => [...piece]))
    return { data, shape: [data.length / width, width] }
  })
}
