import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import type { SequenceRequest } from '../sequence/sequence.ts'
import type { PoolingOutput } from './engine-client.ts'
import type { RequestRecord } from './request-record.ts'

interface RunningRequest {
  readonly requestId: string
  readonly sequence: SequenceRequest
  readonly result: PromiseWithResolvers<PoolingOutput>
  /** Where it is counted. */
  readonly record: RequestRecord
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
  add(requestId: string, sequence: SequenceRequest, record: RequestRecord): Promise<PoolingOutput> {
    const running = { requestId, sequence, record, result: Promise.withResolvers<PoolingOutput>() }
    this.#bySequence.set(sequence.id, running)
    this.#byRequest.set(requestId, running)
    return running.result.promise
  }

  /** What came of one; nothing where it is not (or no longer) here, or the update has no vectors. */
  finish(update: SequenceUpdate): void {
    const { id, pooled, numCachedTokens } = update
    if (pooled === undefined) return
    const running = this.#take(id)
    if (running === null) return
    const { requestId, sequence, record, result } = running
    record.receive(0, update, { numTokens: 0, finishReason: update.finishReason })
    record.end(null)
    result.resolve({ requestId, promptTokenIds: sequence.promptTokenIds, numCachedTokens, ...pooled })
  }

  /** @returns whether it was here */
  fail(sequenceId: string, error: unknown): boolean {
    const running = this.#take(sequenceId)
    running?.result.reject(error)
    running?.record.end(error instanceof Error ? error : new Error(String(error)))
    return running !== null
  }

  /** Its caller does not wait any more. @returns whether it was here */
  abort(sequenceId: string, reason: unknown): boolean {
    const running = this.#take(sequenceId)
    running?.result.reject(reason)
    running?.record.end(null)
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
