import { z } from 'zod'
import { boundedArray } from './bounded-array.ts'
import { chatMessageSchema } from './chat-message.ts'
import { jsonObjectSchema } from './json-object.ts'
import { onlyNeutral } from './unsupported-option.ts'

export const messagesSchema = boundedArray(chatMessageSchema, { min: 1, max: 4096 })

/** How the model's chat template makes a prompt of a conversation. */
export const conversationShape = {
  add_generation_prompt: z.boolean().nullish(),
  /** Continue the last message instead of opening a new one. */
  continue_final_message: z.boolean().nullish(),
  /** A Jinja template for this request; only where the server trusts its clients with it. */
  chat_template: z.string().nullish(),
  chat_template_kwargs: jsonObjectSchema.nullish(),
  mm_processor_kwargs: onlyNeutral({}),
  media_io_kwargs: onlyNeutral({}),
}

interface ConversationFields {
  readonly add_generation_prompt?: boolean | null | undefined
  readonly continue_final_message?: boolean | null | undefined
}

export function checkConversation(
  { add_generation_prompt: opens, continue_final_message: continues }: ConversationFields,
  fail: (field: string, message: string) => void,
): void {
  if (continues === true && opens === true) fail('continue_final_message', 'excludes add_generation_prompt: true')
}
