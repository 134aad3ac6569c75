import type { GenerateRequest, PromptInput } from '@octavo/core'
import type { CompletionRequest, Prompt } from '@octavo/sdk/protocol'
import type { RequestContext } from './request-context.ts'
import { commonRequestFields } from './request-context.ts'
import { samplingParamsFromWire } from './sampling-params-from-wire.ts'

const defaultMaxTokens = 16

/** A completion → one engine request per prompt, in order. */
export function completionToGenerateRequests(request: CompletionRequest, context: RequestContext): GenerateRequest[] {
  const common = commonRequestFields(request, context)
  const logprobs = request.logprobs ?? null
  return promptInputs(request).map((prompt, index) => ({
    ...common,
    requestId: `${common.requestId}-${index}`,
    prompt,
    params: {
      ...samplingParamsFromWire(request),
      // The engine makes at least one token; an echo of the prompt alone drops it again.
      maxTokens: wantsPromptOnly(request) ? 1 : (request.max_tokens ?? defaultMaxTokens),
      logprobs,
      promptLogprobs: request.prompt_logprobs ?? (request.echo === true ? logprobs : null),
    },
  }))
}

/** `echo` with `max_tokens: 0`: the prompt, and its logprobs if asked for, without a completion. */
export function wantsPromptOnly({ echo, max_tokens: maxTokens }: CompletionRequest): boolean {
  return echo === true && maxTokens === 0
}

function promptInputs({ prompt, add_special_tokens: addSpecialTokens }: CompletionRequest): PromptInput[] {
  return splitPrompts(prompt).map((one) =>
    typeof one === 'string'
      ? { type: 'text', text: one, addSpecialTokens: addSpecialTokens ?? true }
      : { type: 'tokens', tokenIds: one },
  )
}

function splitPrompts(prompt: Prompt): (string | readonly number[])[] {
  if (typeof prompt === 'string') return [prompt]
  const ids: number[] = []
  const prompts: (string | readonly number[])[] = []
  for (const entry of prompt) {
    if (typeof entry === 'number') ids.push(entry)
    else prompts.push(entry)
  }
  return ids.length > 0 ? [ids] : prompts
}
