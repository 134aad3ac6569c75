import { z } from 'zod'
import { toolCallDeltaSchema } from './tool-call-delta.ts'
import { stopReasonSchema, wireFinishReasonSchema } from './finish-reason.ts'
import { chatLogprobsSchema } from './logprobs.ts'
import { usageSchema } from './usage.ts'

export const chatCompletionChunkChoiceSchema = z.looseObject({
  index: z.number(),
  delta: z.looseObject({
    role: z.string().optional(),
    content: z.string().nullish(),
    reasoning: z.string().nullish(),
    /** `reasoning` again, where the request asked for it. */
    reasoning_content: z.string().nullish(),
    tool_calls: z.array(toolCallDeltaSchema).optional(),
  }),
  logprobs: chatLogprobsSchema.nullish(),
  /** Set on a choice's last chunk only. */
  finish_reason: wireFinishReasonSchema.nullable(),
  stop_reason: stopReasonSchema.optional(),
  /** With `return_token_ids`: the tokens of this delta. */
  token_ids: z.array(z.number()).nullish(),
})

/** One event of a streamed chat completion. With `include_usage`, the last has no choices but `usage`. */
export const chatCompletionChunkSchema = z.looseObject({
  id: z.string(),
  object: z.literal('chat.completion.chunk'),
  /** Seconds since 1970. */
  created: z.number(),
  model: z.string(),
  choices: z.array(chatCompletionChunkChoiceSchema),
  usage: usageSchema.nullish(),
  /** With `return_token_ids`, on the first chunk. */
  prompt_token_ids: z.array(z.number()).nullish(),
})

export type ChatCompletionChunkChoice = z.infer<typeof chatCompletionChunkChoiceSchema>
export type ChatCompletionChunk = z.infer<typeof chatCompletionChunkSchema>
