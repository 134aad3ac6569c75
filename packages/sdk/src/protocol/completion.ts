import { z } from 'zod'
import { stopReasonSchema, wireFinishReasonSchema } from './finish-reason.ts'
import { completionLogprobsSchema, promptLogprobsSchema } from './logprobs.ts'
import { usageSchema } from './usage.ts'

export const completionChoiceSchema = z.looseObject({
  /** `sample + promptIndex * n`. */
  index: z.number(),
  text: z.string(),
  logprobs: completionLogprobsSchema.nullish(),
  /** In a stream, `null` until the choice's last chunk. */
  finish_reason: wireFinishReasonSchema.nullable(),
  stop_reason: stopReasonSchema.optional(),
  prompt_logprobs: promptLogprobsSchema.nullish(),
  /** With `return_token_ids`; in a stream, on the choice's first chunk. */
  prompt_token_ids: z.array(z.number()).nullish(),
  /** With `return_token_ids`; in a stream, the tokens of this delta. */
  token_ids: z.array(z.number()).nullish(),
})

const completionShape = {
  id: z.string(),
  object: z.literal('text_completion'),
  /** Seconds since 1970. */
  created: z.number(),
  model: z.string(),
  choices: z.array(completionChoiceSchema),
}

/** Answer of POST /v1/completions without `stream`. */
export const completionSchema = z.looseObject({ ...completionShape, usage: usageSchema })

/** One event of a streamed completion. With `include_usage`, the last has no choices but `usage`. */
export const completionChunkSchema = z.looseObject({ ...completionShape, usage: usageSchema.nullish() })

export type CompletionChoice = z.infer<typeof completionChoiceSchema>
export type Completion = z.infer<typeof completionSchema>
export type CompletionChunk = z.infer<typeof completionChunkSchema>
