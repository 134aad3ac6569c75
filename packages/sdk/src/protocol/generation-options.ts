import { z } from 'zod'
import { boundedArray } from './bounded-array.ts'
import { logitBiasSchema } from './logit-bias.ts'
import { requestShape, truncationShape } from './request-shape.ts'
import { responseFormatSchema } from './response-format.ts'
import { tokenIdsSchema } from './token-ids.ts'
import { structuredOutputsSchema } from './structured-outputs.ts'
import { onlyNeutral, removedOption, unsupportedOption } from './unsupported-option.ts'

const stopString = z.string({ error: 'must be a string' }).min(1, { error: 'must not be an empty string' })

/**
 * What chat completions and completions have in common: OpenAI's sampling fields and vLLM's extra parameters.
 * Absent and `null` both mean "the model's default". Limits that depend on the model are checked by the engine.
 */
export const generationOptionShape = {
  n: z.int().min(1).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  /** 0 or -1 = off. */
  top_k: z.int().min(-1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  repetition_penalty: z.number().gt(0).nullish(),
  /** 64 bits; beyond 2^53 a bigint, which JSON writes as a number all the same. */
  seed: z
    .union(
      [
        z.int(),
        z
          .bigint()
          .min(-(2n ** 63n))
          .max(2n ** 63n - 1n),
      ],
      {
        error: 'must be an integer of at most 64 bits',
      },
    )
    .nullish(),
  stop: z.union([stopString, boundedArray(stopString, { max: 64 })]).nullish(),
  stop_token_ids: tokenIdsSchema.nullish(),
  include_stop_str_in_output: z.boolean().nullish(),
  ignore_eos: z.boolean().nullish(),
  min_tokens: z.int().min(0).nullish(),
  logit_bias: logitBiasSchema.nullish(),
  allowed_token_ids: tokenIdsSchema.nullish(),
  bad_words: boundedArray(z.string().min(1), { max: 1024 }).nullish(),
  skip_special_tokens: z.boolean().nullish(),
  spaces_between_special_tokens: z.boolean().nullish(),
  add_special_tokens: z.boolean().nullish(),
  ...truncationShape,
  /** Most likely tokens per prompt token; -1 = the whole vocabulary. Not with `stream`. */
  prompt_logprobs: z.int().min(-1).nullish(),
  return_tokens_as_token_ids: z.boolean().nullish(),
  return_token_ids: z.boolean().nullish(),
  ...requestShape,
  stream: z.boolean().nullish(),
  stream_options: z
    .object({
      include_usage: z.boolean().nullish(),
      /** Usage on every chunk; needs include_usage. */
      continuous_usage_stats: z.boolean().nullish(),
    })
    .nullish(),

  response_format: responseFormatSchema,
  /** vLLM's way to say it, with more kinds. */
  structured_outputs: structuredOutputsSchema.nullish(),
  guided_json: removedOption('write structured_outputs: {"json": …}'),
  guided_regex: removedOption('write structured_outputs: {"regex": …}'),
  guided_choice: removedOption('write structured_outputs: {"choice": […]}'),
  guided_grammar: removedOption('write structured_outputs: {"grammar": …}'),
  guided_json_object: removedOption('write structured_outputs: {"json_object": true}'),
  guided_decoding_backend: removedOption('there is one backend; leave it out'),
  guided_whitespace_pattern: removedOption('write structured_outputs: {…, "disable_any_whitespace": true}'),
  use_beam_search: onlyNeutral(false),
  length_penalty: onlyNeutral(1),
  best_of: onlyNeutral(1),
  logprob_token_ids: unsupportedOption(),
  repetition_detection: unsupportedOption(),
  kv_transfer_params: onlyNeutral({}),
  ec_transfer_params: onlyNeutral({}),
  vllm_xargs: onlyNeutral({}),
  return_token_offsets: onlyNeutral(false),
  stream_interval: onlyNeutral(1),
}

const generationOptionsSchema = z.object(generationOptionShape)
export type GenerationOptions = z.infer<typeof generationOptionsSchema>

/** Rules between fields that both endpoints share. */
export function checkGenerationOptions(
  options: GenerationOptions,
  fail: (field: string, message: string) => void,
): void {
  const { stream, stream_options: streamOptions, prompt_logprobs: promptLogprobs } = options
  if (streamOptions != null && Object.values(streamOptions).some(Boolean) && stream !== true)
    fail('stream_options', 'is only allowed with stream: true')
  if (streamOptions?.continuous_usage_stats === true && streamOptions.include_usage !== true) {
    fail('stream_options', 'continuous_usage_stats needs include_usage: true')
  }
  if (promptLogprobs != null && stream === true) fail('prompt_logprobs', 'is not available with stream: true')
  if (options.structured_outputs != null && options.response_format != null && options.response_format.type !== 'text')
    fail('structured_outputs', 'and response_format exclude each other; give one of the two')
}
