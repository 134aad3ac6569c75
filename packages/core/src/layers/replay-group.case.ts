import { concat, tensor, tidy } from '@tensorflow/tfjs-core'
import type { Tensor } from '@tensorflow/tfjs-core'
import type { Communicator } from './communicator.ts'

/** Thrown out of a rank that waits for the others. */
class Waiting extends Error {}

interface Values {
  readonly data: Float32Array
  readonly shape: number[]
}

interface Call {
  /** Axis of a gather, `null` for a sum. */
  readonly axis: number | null
  readonly parts: Values[]
}

/**
 * Ranks in one thread: each runs until it needs a result that is not known yet; when all have come there it is computed
 * and all start again from the beginning. Quadratic in the number of calls, which is nothing for tiny models.
 */
export class ReplayGroup {
  readonly communicators: readonly Communicator[]
  /** Calls that all ranks made reached, in order: results for the next run. */
  #known: Values[] = []
  #pending: Call | null = null
  #numCalls = 0

  constructor(size: number) {
    this.communicators = Array.from({ length: size }, (_, rank) => ({
      rank,
      size,
      allReduce: <T extends Tensor>(x: T): T => this.#exchange(x, null),
      allGather: <T extends Tensor>(x: T, axis: number): T => this.#exchange(x, axis),
    }))
  }

  /** The result of `body` for every rank; the ranks must make the same calls. */
  run(body: (rank: number) => Float32Array): Float32Array[] {
    this.#known = []
    for (;;) {
      this.#pending = null
      const results: Float32Array[] = []
      for (const { rank } of this.communicators) {
        this.#numCalls = 0
        try {
          results.push(tidy(() => body(rank)))
        } catch (error) {
          if (!(error instanceof Waiting)) throw error
        }
      }
      if (results.length === this.communicators.length) return results
      this.#known.push(this.#combine())
    }
  }

  #exchange<T extends Tensor>(x: T, axis: number | null): T {
    const known = this.#known[this.#numCalls++]
    // A sum has its parts' shape and a gather their rank, which the type of `tensor` cannot say.
    if (known !== undefined) return tensor(known.data, known.shape) as T
    this.#pending ??= { axis, parts: [] }
    this.#pending.parts.push({ data: x.dataSync<'float32'>().slice(), shape: x.shape })
    throw new Waiting()
  }

  #combine(): Values {
    const { axis, parts } = this.#pending ?? { axis: null, parts: [] }
    const [first] = parts
    if (first === undefined || parts.length !== this.communicators.length)
      throw new Error('the ranks do not make the same calls')
    if (axis === null)
      return { ...first, data: first.data.map((_, i) => parts.reduce((sum, { data }) => sum + data[i]!, 0)) }
    const joined = concat(
      parts.map(({ data, shape }) => tensor(data, shape)),
      axis,
    )
    const values = { data: joined.dataSync<'float32'>().slice(), shape: joined.shape }
    joined.dispose()
    return values
  }
}
