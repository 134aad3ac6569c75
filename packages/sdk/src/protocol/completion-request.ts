import { z } from 'zod'
import { checkGenerationOptions, generationOptionShape } from './generation-options.ts'
import { isTokenIds, tokenIdsMeta } from './token-ids.ts'
import { onlyNeutral, unsupportedOption } from './unsupported-option.ts'

/** Every prompt is a request of its own to the engine. */
const maxPrompts = 2048
/** Prompts × n. */
const maxChoices = 16_384

/** Prompts × entries: every prompt has its own copy in the engine. */
const maxEntries = { bad_words: 65_536, logit_bias: 1_048_576, stop_token_ids: 1_048_576, allowed_token_ids: 1_048_576 }

/** Text, several texts, token ids, or several lists of token ids. */
export const promptSchema = z
  .custom<string | string[] | number[] | number[][]>(isPrompt, {
    error: `must be a string, token ids (integers of at least 0), or 1 to ${maxPrompts} of one of the two, unmixed and with no list empty`,
  })
  .meta({
    anyOf: [
      { type: 'string' },
      tokenIdsMeta,
      { type: 'array', items: { type: 'string' }, minItems: 1, maxItems: maxPrompts },
      { type: 'array', items: tokenIdsMeta, minItems: 1, maxItems: maxPrompts },
    ],
  })

function isPrompt(value: unknown): boolean {
  if (typeof value === 'string') return true
  if (!Array.isArray(value) || value.length === 0) return false
  if (isTokenIds(value)) return true
  if (value.length > maxPrompts) return false
  return value.every((text) => typeof text === 'string') || value.every((ids) => isTokenIds(ids) && ids.length > 0)
}

/** Body of POST /v1/completions. Unknown fields are dropped. */
export const completionRequestSchema = z
  .object({
    ...generationOptionShape,
    /** It would take the prompt's place, or go before it. */
    prompt_embeds: unsupportedOption(),
    prompt: promptSchema,
    /** Default 16. 0 only with `echo`: the prompt comes back alone. */
    max_tokens: z.int().min(0).nullish(),
    /** Put the prompt before the completion. */
    echo: z.boolean().nullish(),
    /** Most likely tokens per token; -1 = the whole vocabulary. With `echo`, for the prompt too. */
    logprobs: z.int().min(-1).nullish(),
    suffix: onlyNeutral(''),
    thinking_token_budget: onlyNeutral(-1),
  })
  .superRefine((request, context) => {
    const fail = (field: string, message: string) => context.addIssue({ code: 'custom', path: [field], message })
    checkGenerationOptions(request, fail)
    const numPrompts = countPrompts(request.prompt)
    if (numPrompts * (request.n ?? 1) > maxChoices)
      fail('n', `may be at most ${Math.floor(maxChoices / numPrompts)} for ${numPrompts} prompts, got ${request.n}`)
    for (const [field, max] of Object.entries(maxEntries)) {
      const numEntries = Object.keys(request[field as keyof typeof maxEntries] ?? {}).length
      const share = Math.floor(max / numPrompts)
      if (numPrompts > 1 && numEntries > share)
        fail(
          field,
          `may have at most ${share} entries for ${numPrompts} prompts, got ${numEntries}; send fewer prompts at once`,
        )
    }
    if (request.max_tokens === 0 && request.echo !== true)
      fail('max_tokens', 'must be at least 1 (0 is for echo: true), got 0')
  })

function countPrompts(prompt: unknown): number {
  return Array.isArray(prompt) && typeof prompt[0] !== 'number' ? prompt.length : 1
}

export type Prompt = z.infer<typeof promptSchema>
export type CompletionRequest = z.infer<typeof completionRequestSchema>
