import type { EngineClient, GenerateRequest, PoolingOutput, PoolingRequest, RequestOutput } from '@octavo/core'
import type { Caller } from '../authenticate.ts'
import type { CallerEngine } from '../server-context.ts'
import type { AdmissionQueue, Admitted } from './admission-queue.ts'
import { startWhenServing } from './await-restart.ts'

export interface CallerEngineOptions {
  readonly engine: EngineClient
  /** `null`: the engine's queue may be as long as it gets. */
  readonly queue: AdmissionQueue | null
  /** How long a request may wait for an engine that is started again. */
  readonly restartWaitMs: number
}

/** Between the endpoints and the engine: who may enter the queue, who waits for a restart, and what a caller has used. */
export function createCallerEngine(options: CallerEngineOptions, caller: Caller): CallerEngine {
  return {
    generate: (request, signal) => generate({ ...options, caller }, request, signal),
    ...(options.engine.pool && { pool: (request, signal) => pool({ ...options, caller }, request, signal) }),
  }
}

async function pool(
  { engine, queue, restartWaitMs, caller }: CallerEngineOptions & { readonly caller: Caller },
  request: PoolingRequest,
  signal: AbortSignal | undefined,
): Promise<PoolingOutput> {
  const admitted = queue?.enter(caller, { numSeqs: 1, maxTokens: 1 }) ?? null
  caller.ticket?.retain()
  try {
    const waiting = { waitMs: restartWaitMs, signal }
    const output = await startWhenServing(engine, () => engine.pool!(request, signal), waiting)
    caller.ticket?.spend(output.promptTokenIds.length)
    return output
  } finally {
    admitted?.leave()
    caller.ticket?.release()
  }
}

async function* generate(
  { engine, queue, restartWaitMs, caller }: CallerEngineOptions & { readonly caller: Caller },
  request: GenerateRequest,
  signal: AbortSignal | undefined,
): AsyncGenerator<RequestOutput, void, undefined> {
  const { maxTokens = null, n } = request.params
  const numSeqs = n ?? 1
  const admitted = queue?.enter(caller, { numSeqs, maxTokens }) ?? null
  caller.ticket?.retain()
  const usage = new Usage(request, { caller, admitted, numSeqs })
  try {
    const outputs = await startWhenServing(engine, () => begin(engine.generate(request, signal)), {
      waitMs: restartWaitMs,
      signal,
    })
    for await (const output of outputs) {
      usage.add(output)
      yield output
    }
  } finally {
    usage.end()
    caller.ticket?.release()
  }
}

/** Has the first output made, or the refusal. */
async function begin(outputs: AsyncIterable<RequestOutput>): Promise<AsyncIterable<RequestOutput>> {
  const iterator = outputs[Symbol.asyncIterator]()
  const first = await iterator.next()
  return (async function* () {
    try {
      for (let next = first; next.done !== true; next = await iterator.next()) yield next.value
    } finally {
      await iterator.return?.()
    }
  })()
}

interface UsageOptions {
  readonly caller: Caller
  readonly admitted: Admitted | null
  readonly numSeqs: number
}

/** Tokens of one request, told to the caller's ticket as they become known. */
class Usage {
  readonly #options: UsageOptions
  readonly #isCumulative: boolean
  /** Whether outputs come while tokens are made. */
  readonly #isLive: boolean
  #hasPrompt = false
  #numTokens = 0
  #isFinished = false

  constructor({ outputKind = 'cumulative' }: GenerateRequest, options: UsageOptions) {
    this.#options = options
    this.#isCumulative = outputKind === 'cumulative'
    this.#isLive = this.#isCumulative || outputKind === 'delta'
  }

  add({ promptTokenIds, outputs, finished }: RequestOutput): void {
    const { caller, admitted, numSeqs } = this.#options
    const count = outputs.reduce((sum, { tokenIds }) => sum + tokenIds.length, 0)
    const numNew = this.#isCumulative ? Math.max(0, count - this.#numTokens) : count
    this.#numTokens += numNew
    caller.ticket?.spend(numNew + (this.#hasPrompt ? 0 : promptTokenIds.length))
    this.#hasPrompt = true
    this.#isFinished ||= finished
    if (admitted === null) return
    // What comes only at the end is all computed, however slowly it is read.
    if (this.#isLive) admitted.place.numTokens = this.#numTokens / numSeqs
    else admitted.leave()
  }

  end(): void {
    const { admitted, numSeqs } = this.#options
    admitted?.leave()
    if (this.#isFinished) admitted?.learn(this.#numTokens / numSeqs)
  }
}
