import { z } from 'zod'
import { boundedArray } from './bounded-array.ts'
import { jsonObjectSchema } from './json-object.ts'

const partTypes = ['text', 'input_text', 'output_text', 'refusal'] as const

const contentPartSchema = z.union(
  [
    z.string(),
    z.object({ type: z.enum(['text', 'input_text', 'output_text']), text: z.string() }),
    z.object({ type: z.literal('refusal'), refusal: z.string() }),
  ],
  { error: (issue) => describeWrongPart(issue.input) },
)

/** A text, or parts that are text. */
export const contentSchema = z.union([z.string(), boundedArray(contentPartSchema, { max: 1024 })])

/** A call that the assistant made. */
export const toolCallSchema = z.looseObject({
  id: z.string().nullish(),
  type: z.literal('function').optional(),
  function: z.looseObject({
    name: z.string().min(1),
    /** JSON text as OpenAI writes it, or the object itself. What is no JSON object reaches the template as an empty one. */
    arguments: z.union([z.string(), jsonObjectSchema], { error: 'must be JSON text or an object' }).nullish(),
  }),
})

const maxRoleLength = 64

/** One turn of a conversation, as clients send it. Further fields reach the chat template. */
export const chatMessageSchema = z
  .looseObject({
    /** Any that the chat template knows; `developer` is system to those that do not know it. */
    role: z.string().min(1).max(maxRoleLength),
    /** May be left out by the assistant only. */
    content: contentSchema.nullish(),
    name: z.string().nullish(),
    reasoning: z.string().nullish(),
    /** Older name of `reasoning`. */
    reasoning_content: z.string().nullish(),
    refusal: z.string().nullish(),
    tool_calls: boundedArray(toolCallSchema, { max: 1024 }).nullish(),
    tool_call_id: z.string().nullish(),
    /** The name before `tool_calls`. */
    function_call: z
      .custom<null>((value) => value === null, { error: 'is not supported; write it as an entry of tool_calls' })
      .meta({ type: 'null' })
      .optional(),
  })
  .superRefine((message, context) => {
    if (message.content == null && message.role !== 'assistant') {
      context.addIssue({ code: 'custom', path: ['content'], message: `is required for the role ${message.role}` })
    }
    if ((message.tool_calls?.length ?? 0) > 0 && message.role !== 'assistant') {
      context.addIssue({ code: 'custom', path: ['tool_calls'], message: 'are only allowed for the role assistant' })
    }
  })

export type WireToolCall = z.infer<typeof toolCallSchema>
export type WireChatMessage = z.infer<typeof chatMessageSchema>

function describeWrongPart(input: unknown): string | undefined {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return 'must be an object with a type'
  const type = 'type' in input ? input.type : undefined
  if (partTypes.some((known) => known === type)) return undefined
  return `content parts of type ${quote(type)} are not supported: this server takes text only`
}

/** A bounded quotation: the value is the client's, and ends up in a message. */
export function quote(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 64 ? `${value.slice(0, 64)}…` : value)
  return value === undefined ? 'undefined' : `of type ${value === null ? 'null' : typeof value}`
}
