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

/**
 * Between the endpoints and the engine: who may enter the queue, who waits for a restart, and what a caller has used. One
 * for each request: its prompts are admitted or refused together.
 */
export function createCallerEngine(options: CallerEngineOptions, caller: Caller): CallerEngine {
  const gate = new Gate(options, caller)
  if (options.engine.pool === undefined) return { generate: (request, signal) => generate(gate, request, signal) }
  return {
    generate: (request, signal) => generate(gate, request, signal),
    pool: (request, signal) => pool(gate, request, signal),
  }
}

/** What the parts of one request share. */
class Gate {
  readonly engine: EngineClient
  readonly caller: Caller
  readonly #options: CallerEngineOptions
  #isOpen = false

  constructor(options: CallerEngineOptions, caller: Caller) {
    this.engine = options.engine
    this.caller = caller
    this.#options = options
  }

  /** @throws HttpError where there is no room */
  enter(numSeqs: number, maxTokens: number | null): Admitted | null {
    const admitted = this.#options.queue?.enter(this.caller, { numSeqs, maxTokens, isMore: this.#isOpen }) ?? null
    this.#isOpen = true
    this.caller.ticket?.retain()
    return admitted
  }

  start<Started>(start: () => Promise<Started>, signal: AbortSignal | undefined): Promise<Started> {
    return startWhenServing(this.engine, start, { waitMs: this.#options.restartWaitMs, signal })
  }
}

async function* generate(
  gate: Gate,
  request: GenerateRequest,
  signal: AbortSignal | undefined,
): AsyncGenerator<RequestOutput, void, undefined> {
  const { engine, caller } = gate
  const { maxTokens = null, n } = request.params
  const numSeqs = n ?? 1
  const admitted = gate.enter(numSeqs, maxTokens)
  const usage = new Usage(request, { caller, admitted, numSeqs })
  try {
    const outputs = await gate.start(() => begin(engine.generate(request, signal)), signal)
    for await (const output of outputs) {
      usage.add(output)
      // Why it ends says more than that it was aborted.
      if (output.outputs.some(({ finishReason }) => finishReason === 'abort')) signal?.throwIfAborted()
      yield output
    }
  } finally {
    usage.end()
    caller.ticket?.release()
  }
}

async function pool(gate: Gate, request: PoolingRequest, signal: AbortSignal | undefined): Promise<PoolingOutput> {
  const { engine, caller } = gate
  // It waits as others do, and has no output of which to wait for the end.
  const admitted = gate.enter(1, 1)
  try {
    const output = await gate.start(() => engine.pool!(request, signal), signal)
    caller.ticket?.spend(output.promptTokenIds.length)
    return output
  } finally {
    admitted?.leave()
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
  #numStops = 0
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
    const numStops = outputs.filter(({ finishReason }) => finishReason === 'stop').length
    this.#numStops = this.#isCumulative ? numStops : this.#numStops + numStops
    caller.ticket?.spend(numNew + (this.#hasPrompt ? 0 : promptTokenIds.length))
    this.#hasPrompt = true
    this.#isFinished ||= finished
    if (admitted === null) return
    // What comes only at the end is all computed, however slowly it is read.
    if (this.#isLive) admitted.progress(this.#numTokens / numSeqs)
    else admitted.leave()
  }

  end(): void {
    const { admitted } = this.#options
    admitted?.leave()
    if (this.#isFinished) admitted?.learn({ numTokens: this.#numTokens, numStops: this.#numStops })
  }
}
