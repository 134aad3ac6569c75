import { z } from 'zod'
import { jsonObjectSchema } from '../json-object.ts'

/** Sampling parameters as they would be used, under vLLM's names. */
export const renderedSamplingParamsSchema = z.looseObject({
  n: z.number(),
  temperature: z.number(),
  top_p: z.number(),
  top_k: z.number(),
  min_p: z.number(),
  presence_penalty: z.number(),
  frequency_penalty: z.number(),
  repetition_penalty: z.number(),
  /** `null`: the engine draws one. */
  seed: z.union([z.number(), z.bigint()]).nullable(),
  stop: z.array(z.string()),
  stop_token_ids: z.array(z.number()),
  include_stop_str_in_output: z.boolean(),
  ignore_eos: z.boolean(),
  /** What the context has room for, where the request does not say. */
  max_tokens: z.number(),
  min_tokens: z.number(),
  logprobs: z.number().nullable(),
  prompt_logprobs: z.number().nullable(),
  logit_bias: z.record(z.string(), z.number()).nullable(),
  allowed_token_ids: z.array(z.number()).nullable(),
  bad_words: z.array(z.string()),
  structured_outputs: jsonObjectSchema.nullable(),
  skip_special_tokens: z.boolean(),
  spaces_between_special_tokens: z.boolean(),
})

/** What a request comes to before anything runs: answer of POST /v1/chat/completions/render, and one of those of /v1/completions/render. */
export const renderedRequestSchema = z.looseObject({
  request_id: z.string(),
  token_ids: z.array(z.number()),
  /** Of other modalities than text. */
  features: z.null(),
  sampling_params: renderedSamplingParamsSchema,
  model: z.string(),
  stream: z.boolean(),
  stream_options: jsonObjectSchema.nullable(),
  cache_salt: z.string().nullable(),
  priority: z.number(),
  kv_transfer_params: z.null(),
})

export const renderedRequestListSchema = z.array(renderedRequestSchema)

export type RenderedSamplingParams = z.infer<typeof renderedSamplingParamsSchema>
export type WireRenderedRequest = z.infer<typeof renderedRequestSchema>
