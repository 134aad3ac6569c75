import type { EngineClient, PoolingOutput, PoolingRequest, TurnQueue } from '@octavo/core'
import type { Usage } from '@octavo/sdk/protocol'
import { HttpError } from '../http-error.ts'

/** Of one body's prompts the engine has no more at once: enough for whole batches, and others come in between. */
const maxAtOnce = 256

interface Prompt {
  readonly request: PoolingRequest
  output: Promise<PoolingOutput> | null
  /** For want of room in the queue. */
  isRefused: boolean
}

export interface PoolPromptsOptions {
  readonly turns: TurnQueue
  readonly signal: AbortSignal
  readonly pool: NonNullable<EngineClient['pool']>
}

/** What the engine makes of prompts, in their order. They live and die together: where one fails, or the reader ends, the others are stopped. */
export async function* poolPrompts(
  requests: readonly PoolingRequest[],
  { turns, signal, pool }: PoolPromptsOptions,
): AsyncGenerator<PoolingOutput, void, undefined> {
  const group = new AbortController()
  const either = AbortSignal.any([signal, group.signal])
  const running: Prompt[] = []
  let numBegun = 0
  const begin = (prompt: Prompt): void => {
    const output = turns.run(() => pool(prompt.request, either), { caller: requests, signal: either })
    prompt.output = output
    prompt.isRefused = false
    // Not unhandled, if it fails before its turn to be waited for.
    output.catch((error: unknown) => void (prompt.isRefused = isRefusal(error)))
  }
  try {
    for (let numRead = 0; numRead < requests.length; numRead++) {
      while (running.length < maxAtOnce && numBegun < requests.length) {
        const prompt: Prompt = { request: requests[numBegun++]!, output: null, isRefused: false }
        running.push(prompt)
        begin(prompt)
      }
      const prompt = running[0]!
      const output = await prompt.output!.catch((error: unknown) => {
        if (numRead === 0 || !isRefusal(error)) throw error
        // The room that there was had those before it, which are done.
        for (const refused of running.filter(({ isRefused }) => isRefused)) begin(refused)
        return prompt.output!
      })
      running.shift()
      yield output
    }
  } finally {
    group.abort()
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof HttpError && (error.status === 429 || error.status === 503)
}

/** Of prompts that make nothing but vectors. */
export class PoolingUsage {
  #numPromptTokens = 0
  #numCachedTokens = 0

  add({ promptTokenIds, numCachedTokens }: PoolingOutput): void {
    this.#numPromptTokens += promptTokenIds.length
    this.#numCachedTokens += numCachedTokens
  }

  usage(): Usage {
    return {
      prompt_tokens: this.#numPromptTokens,
      total_tokens: this.#numPromptTokens,
      completion_tokens: 0,
      prompt_tokens_details: { cached_tokens: this.#numCachedTokens },
    }
  }
}
