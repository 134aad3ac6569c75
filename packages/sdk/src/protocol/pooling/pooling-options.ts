import { z } from 'zod'
import { checkConversation, conversationShape, messagesSchema } from '../conversation-shape.ts'
import { promptSchema } from '../completion-request.ts'
import { requestShape, truncationShape } from '../request-shape.ts'
import { onlyNeutral, removedOption } from '../unsupported-option.ts'

/** What all requests for vectors, classes and scores have in common: vLLM's. Limits that depend on the model are checked by the engine. */
export const poolingOptionShape = {
  ...requestShape,
  ...truncationShape,
  /** Of embeddings: length 1. Of classes and scores: probabilities in place of logits. Absent: as the model was made for. */
  use_activation: z.boolean().nullish(),
  normalize: removedOption('write use_activation'),
  padding: onlyNeutral('do_not_pad'),
  mm_processor_kwargs: onlyNeutral({}),
}

const poolingOptionsSchema = z.object(poolingOptionShape)
export type PoolingOptions = z.infer<typeof poolingOptionsSchema>

/** What vectors are made of: texts or token ids, or one conversation. */
export const poolingInputShape = {
  ...conversationShape,
  input: promptSchema.nullish(),
  messages: messagesSchema.nullish(),
  /** Default true for `input`, false for `messages`, where the template writes them. */
  add_special_tokens: z.boolean().nullish(),
}

const poolingInputSchema = z.object(poolingInputShape)
export type PoolingInput = z.infer<typeof poolingInputSchema>

const onlyForMessages = [
  'add_generation_prompt',
  'continue_final_message',
  'chat_template',
  'chat_template_kwargs',
] as const

export function checkPoolingInput(request: PoolingInput, fail: (field: string, message: string) => void): void {
  const { input, messages } = request
  if (input == null && messages == null) return fail('input', 'is required, or messages in its place')
  if (input != null && messages != null) return fail('input', 'and messages exclude each other; give one of the two')
  checkConversation(request, fail)
  if (messages != null) return
  const misplaced = onlyForMessages.find((field) => request[field] != null && request[field] !== false)
  if (misplaced !== undefined) fail(misplaced, 'is for messages; with input there is no chat template')
}
