import { z } from 'zod'
import { toolCallSchema } from './chat-message.ts'
import { stopReasonSchema, wireFinishReasonSchema } from './finish-reason.ts'
import { chatLogprobsSchema, promptLogprobsSchema } from './logprobs.ts'
import { usageSchema } from './usage.ts'

export const chatCompletionChoiceSchema = z.looseObject({
  index: z.number(),
  message: z.looseObject({
    role: z.string(),
    content: z.string().nullable(),
    refusal: z.string().nullish(),
    /** The text that a reasoning model thought before it answered. */
    reasoning: z.string().nullish(),
    /** `reasoning` again, where the request asked for it. */
    reasoning_content: z.string().nullish(),
    tool_calls: z.array(toolCallSchema).nullish(),
  }),
  logprobs: chatLogprobsSchema.nullish(),
  finish_reason: wireFinishReasonSchema.nullable(),
  stop_reason: stopReasonSchema.optional(),
  /** With `return_token_ids`. */
  token_ids: z.array(z.number()).nullish(),
})

/** Answer of POST /v1/chat/completions without `stream`. */
export const chatCompletionSchema = z.looseObject({
  id: z.string(),
  object: z.literal('chat.completion'),
  /** Seconds since 1970. */
  created: z.number(),
  model: z.string(),
  choices: z.array(chatCompletionChoiceSchema),
  usage: usageSchema,
  prompt_logprobs: promptLogprobsSchema.nullish(),
  /** With `return_token_ids`. */
  prompt_token_ids: z.array(z.number()).nullish(),
})

export type ChatCompletionChoice = z.infer<typeof chatCompletionChoiceSchema>
export type ChatCompletion = z.infer<typeof chatCompletionSchema>
