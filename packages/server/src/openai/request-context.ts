import type { GenerateRequest } from '@octavo/core'
import type { GenerationOptions } from '@octavo/sdk/protocol'

/** What the server adds to a parsed request. */
export interface RequestContext {
  /** The engine's name for the request: unique even if the client repeats its own ids. */
  readonly engineRequestId: string
  readonly model: string
  readonly cacheSalt: string | null
}

/** The fields of the engine's request that both endpoints fill alike. */
export function commonRequestFields(
  options: GenerationOptions,
  { engineRequestId, model, cacheSalt }: RequestContext,
): Omit<GenerateRequest, 'prompt' | 'params'> {
  return {
    requestId: engineRequestId,
    model,
    outputKind: options.stream === true ? 'delta' : 'final',
    priority: options.priority ?? 0,
    cacheSalt,
    truncatePromptTokens: options.truncate_prompt_tokens ?? null,
    truncationSide: options.truncation_side ?? 'left',
  }
}
