import type { GenerateRequest, SamplingParamsInput } from '@octavo/core'
import type { GenerationOptions } from '@octavo/sdk/protocol'
import type { Generation } from '../open-generation.ts'

type CommonOptions = Omit<GenerationOptions, 'stream_options'>

/** What the endpoints share; absent and `null` leave the choice to the model's own defaults. */
export function samplingParams(options: CommonOptions): SamplingParamsInput {
  return {
    n: options.n ?? undefined,
    minTokens: options.min_tokens ?? undefined,
    temperature: options.temperature ?? undefined,
    topP: options.top_p ?? undefined,
    topK: options.top_k ?? undefined,
    minP: options.min_p ?? undefined,
    presencePenalty: options.presence_penalty ?? undefined,
    frequencyPenalty: options.frequency_penalty ?? undefined,
    repetitionPenalty: options.repetition_penalty ?? undefined,
    seed: options.seed ?? undefined,
    stop: typeof options.stop === 'string' ? [options.stop] : (options.stop ?? undefined),
    stopTokenIds: options.stop_token_ids ?? undefined,
    includeStopStrInOutput: options.include_stop_str_in_output ?? undefined,
    ignoreEos: options.ignore_eos ?? undefined,
    promptLogprobs: options.prompt_logprobs ?? undefined,
    logitBias: options.logit_bias == null ? undefined : numericKeys(options.logit_bias),
    allowedTokenIds: options.allowed_token_ids ?? undefined,
    badWords: options.bad_words ?? undefined,
    skipSpecialTokens: options.skip_special_tokens ?? undefined,
    spacesBetweenSpecialTokens: options.spaces_between_special_tokens ?? undefined,
  }
}

/** The fields of the engine's request that both endpoints fill alike. */
export function commonRequestFields(
  options: CommonOptions,
  { engineRequestId, model, cacheSalt }: Pick<Generation, 'engineRequestId' | 'model' | 'cacheSalt'>,
): Omit<GenerateRequest, 'prompt' | 'params'> {
  return {
    requestId: engineRequestId,
    model,
    outputKind: options.stream === true ? 'delta' : 'parts',
    priority: options.priority ?? 0,
    cacheSalt,
    truncatePromptTokens: options.truncate_prompt_tokens ?? null,
    truncationSide: options.truncation_side ?? 'left',
  }
}

/** "7" and "07" are the same token; the later one wins. */
function numericKeys(bias: Readonly<Record<string, number>>): Record<number, number> {
  return Object.fromEntries(Object.entries(bias).map(([id, value]) => [Number(id), value]))
}
