import { z } from 'zod'
import { boundedArray } from '../bounded-array.ts'
import { checkConversation, conversationShape, messagesSchema } from '../conversation-shape.ts'
import { checkTools, toolSchema } from '../tool.ts'

/** Body of POST /tokenize: a text, or a conversation. Unknown fields are dropped. */
export const tokenizeRequestSchema = z
  .object({
    ...conversationShape,
    model: z.string().nullish(),
    prompt: z.string().nullish(),
    messages: messagesSchema.nullish(),
    /** Shown to the model, with `messages`. */
    tools: boundedArray(toolSchema, { max: 1024 }).nullish(),
    /** Default true for `prompt`, false for `messages`, where the template writes them. */
    add_special_tokens: z.boolean().nullish(),
    /** Also answer with the tokens as they stand in the vocabulary. */
    return_token_strs: z.boolean().nullish(),
  })
  .superRefine((request, context) => {
    const fail = (field: string, message: string) => context.addIssue({ code: 'custom', path: [field], message })
    const { prompt, messages } = request
    if (prompt == null && messages == null) return fail('prompt', 'is required, or messages in its place')
    if (prompt != null && messages != null)
      return fail('prompt', 'and messages exclude each other; give one of the two')
    checkConversation(request, fail)
    checkTools({ tools: request.tools }, fail)
  })

/** Answer of POST /tokenize. */
export const tokenizedSchema = z.looseObject({
  count: z.number(),
  /** The model's context; a prompt that is only counted may be longer. */
  max_model_len: z.number(),
  tokens: z.array(z.number()),
  token_strs: z.array(z.string()).nullable(),
})

export type TokenizeRequest = z.infer<typeof tokenizeRequestSchema>
export type Tokenized = z.infer<typeof tokenizedSchema>
