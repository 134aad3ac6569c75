import type { RenderedRequest, SamplingParams, StructuredOutput } from '@octavo/core'
import type { GenerationOptions, RenderedSamplingParams, WireRenderedRequest } from '@octavo/sdk/protocol'

/** What the engine would run → as vLLM writes it. */
export function wireRenderedRequest(
  { tokenIds, params }: RenderedRequest,
  options: GenerationOptions,
  { id, model }: { readonly id: string; readonly model: string },
): WireRenderedRequest {
  return {
    request_id: id,
    token_ids: tokenIds as number[],
    features: null,
    sampling_params: wireSamplingParams(params),
    model,
    stream: options.stream ?? false,
    stream_options: options.stream_options ?? null,
    // The client's own, not what is made of it for its tenant.
    cache_salt: options.cache_salt ?? null,
    priority: options.priority ?? 0,
    kv_transfer_params: null,
  }
}

function wireSamplingParams(params: SamplingParams & { readonly maxTokens: number }): RenderedSamplingParams {
  return {
    n: params.n,
    temperature: params.temperature,
    top_p: params.topP,
    top_k: params.topK,
    min_p: params.minP,
    presence_penalty: params.presencePenalty,
    frequency_penalty: params.frequencyPenalty,
    repetition_penalty: params.repetitionPenalty,
    seed: params.seed,
    stop: [...params.stop],
    stop_token_ids: [...params.stopTokenIds],
    include_stop_str_in_output: params.includeStopStrInOutput,
    ignore_eos: params.ignoreEos,
    max_tokens: params.maxTokens,
    min_tokens: params.minTokens,
    logprobs: params.logprobs,
    prompt_logprobs: params.promptLogprobs,
    logit_bias: params.logitBias,
    allowed_token_ids: params.allowedTokenIds === null ? null : [...params.allowedTokenIds],
    bad_words: [...params.badWords],
    structured_outputs: params.structuredOutput === null ? null : wireStructuredOutputs(params.structuredOutput),
    thinking_token_budget: params.thinkingTokenBudget,
    skip_special_tokens: params.skipSpecialTokens,
    spaces_between_special_tokens: params.spacesBetweenSpecialTokens,
  }
}

function wireStructuredOutputs(output: StructuredOutput): Record<string, unknown> {
  switch (output.type) {
    case 'json':
      return {
        json: output.schema,
        ...(output.anyWhitespace === false && { disable_any_whitespace: true }),
        ...(output.additionalProperties === false && { disable_additional_properties: true }),
      }
    case 'jsonObject':
      return { json_object: true, ...(output.anyWhitespace === false && { disable_any_whitespace: true }) }
    case 'regex':
      return { regex: output.pattern }
    case 'choice':
      return { choice: output.choices }
    case 'grammar':
      return { grammar: output.grammar }
    case 'structuralTag':
      return { structural_tag: output.tag }
  }
}
