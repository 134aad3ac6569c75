import type { EngineClient, PoolingOutput, PoolingRequest, PoolingTask, TurnQueue } from '@octavo/core'
import type { Usage } from '@octavo/sdk/protocol'

/** Of one body's prompts the engine has no more at once: enough for whole batches, and others come in between. */
const maxAtOnce = 256
/** Where each token has a vector, a prompt's may take a hundred megabytes, and wait there for a reader that is slow. */
const maxAtOnceOfTokens = 16

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
  const most = requests.some(({ params: { task } }) => isOfTokens(task)) ? maxAtOnceOfTokens : maxAtOnce
  const running: Promise<PoolingOutput>[] = []
  let numBegun = 0
  const begin = (request: PoolingRequest): void => {
    const output = turns.run(() => pool(request, either), { caller: requests, signal: either })
    // Not unhandled, if it fails before its turn to be waited for.
    output.catch(() => undefined)
    running.push(output)
  }
  try {
    for (let numRead = 0; numRead < requests.length; numRead++) {
      while (running.length < most && numBegun < requests.length) begin(requests[numBegun++]!)
      yield await running.shift()!
    }
  } finally {
    group.abort()
  }
}

export function isOfTokens(task: PoolingTask): boolean {
  return task === 'token_embed' || task === 'token_classify'
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
