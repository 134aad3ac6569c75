import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import type { SequenceRequest } from '../sequence/sequence.ts'
import type { PoolingOutput } from './engine-client.ts'

interface RunningRequest {
  readonly requestId: string
  readonly sequence: SequenceRequest
  readonly result: PromiseWithResolvers<PoolingOutput>
}

/** Pooling requests whose sequences the core has. */
export class PoolingRequests {
  readonly #bySequence = new Map<string, RunningRequest>()
  readonly #byRequest = new Map<string, RunningRequest>()

  get size(): number {
    return this.#byRequest.size
  }

  has(requestId: string): boolean {
    return this.#byRequest.has(requestId)
  }

  sequenceIds(): string[] {
    return [...this.#bySequence.keys()]
  }

  /** Resolves with the vectors, or rejects as one of the calls below says. */
  add(requestId: string, sequence: SequenceRequest): Promise<PoolingOutput> {
    const running = { requestId, sequence, result: Promise.withResolvers<PoolingOutput>() }
    this.#bySequence.set(sequence.id, running)
    this.#byRequest.set(requestId, running)
    return running.result.promise
  }

  /** What came of one; nothing where it is not (or no longer) here, or the update has no vectors. */
  finish({ id, pooled, numCachedTokens }: SequenceUpdate): void {
    if (pooled === undefined) return
    const running = this.#take(id)
    if (running === null) return
    const { requestId, sequence, result } = running
    result.resolve({ requestId, promptTokenIds: sequence.promptTokenIds, numCachedTokens, ...pooled })
  }

  /** @returns whether it was here */
  fail(sequenceId: string, error: unknown): boolean {
    const running = this.#take(sequenceId)
    running?.result.reject(error)
    return running !== null
  }

  failAll(error: Error): void {
    for (const id of this.sequenceIds()) this.fail(id, error)
  }

  #take(sequenceId: string): RunningRequest | null {
    const running = this.#bySequence.get(sequenceId)
    if (running === undefined) return null
    this.#bySequence.delete(sequenceId)
    this.#byRequest.delete(running.requestId)
    return running
  }
}
