import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import type { TurnQueue } from '../util/turn-queue.ts'
import { LogprobDecoder } from './logprob-decoder.ts'
import { type OutputRequest, RequestOutputs } from './request-outputs.ts'

export interface ProcessedUpdates {
  /** Requests with something new, each once, in the order of the updates. */
  readonly touched: readonly RequestOutputs[]
  /** Ended here by a stop string: the engine must abort them. */
  readonly abortedSequenceIds: readonly string[]
}

/** Turns the engine's token ids into the text of requests: detokenizes, checks stop strings, forms deltas. */
export class OutputProcessor {
  readonly #decoder: LogprobDecoder
  readonly #requests = new Map<string, RequestOutputs>()
  readonly #sequences = new Map<string, { readonly outputs: RequestOutputs; readonly index: number }>()

  constructor(tokenizer: Tokenizer, turns: TurnQueue) {
    this.#decoder = new LogprobDecoder(tokenizer, turns)
  }

  addRequest(request: OutputRequest): RequestOutputs {
    const outputs = new RequestOutputs(request, this.#decoder)
    this.#requests.set(request.requestId, outputs)
    request.sequenceIds.forEach((id, index) => this.#sequences.set(id, { outputs, index }))
    return outputs
  }

  /** Updates of sequences that are unknown, because they were aborted in the meantime, are passed over. */
  process(updates: readonly SequenceUpdate[]): ProcessedUpdates {
    const touched = new Set<RequestOutputs>()
    const abortedSequenceIds: string[] = []
    for (const update of updates) {
      const found = this.#sequences.get(update.id)
      if (found === undefined) continue
      touched.add(found.outputs)
      const { isFinished, endedHere } = found.outputs.push(found.index, update)
      if (endedHere) abortedSequenceIds.push(update.id)
      if (isFinished) this.#sequences.delete(update.id)
    }
    for (const outputs of touched) if (outputs.isFinished) this.forget(outputs.requestId)
    return { touched: [...touched], abortedSequenceIds }
  }

  /** The request that a sequence samples; `null` once it has ended. */
  requestOf(sequenceId: string): string | null {
    return this.#sequences.get(sequenceId)?.outputs.requestId ?? null
  }

  /** Ends a request; its last output says so with finishReason 'abort'. */
  abort(requestId: string): void {
    this.#requests.get(requestId)?.abort()
    this.forget(requestId)
  }

  /** No update reaches it any more; what it has can still be taken. */
  forget(requestId: string): void {
    const outputs = this.#requests.get(requestId)
    if (outputs === undefined) return
    this.#requests.delete(requestId)
    for (const id of outputs.sequenceIds) this.#sequences.delete(id)
  }
}
