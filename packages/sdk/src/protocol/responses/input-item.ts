import { z } from 'zod'
import { boundedArray } from '../bounded-array.ts'
import { contentSchema, quote } from '../chat-message.ts'
import { onlyNeutral, unsupportedOption } from '../unsupported-option.ts'

const maxTextParts = 1024

/** Of an item that the client made, or that it got from a response. */
const itemIdSchema = z.string().min(1).max(256)
/** Clients send what they were given; nothing depends on it. */
const statusSchema = z.enum(['in_progress', 'completed', 'incomplete']).nullish()
/** Ids that models write may be longer than the 64 characters of OpenAI's. */
const callIdSchema = z.string().min(1).max(256)

const messageSchema = z.object({
  type: z.literal('message'),
  id: itemIdSchema.nullish(),
  role: z.enum(['user', 'assistant', 'system', 'developer'], {
    error: 'must be "user", "assistant", "system" or "developer"',
  }),
  content: contentSchema,
  status: statusSchema,
})

const functionCallSchema = z.object({
  type: z.literal('function_call'),
  id: itemIdSchema.nullish(),
  call_id: callIdSchema,
  name: z.string().min(1).max(256),
  /** JSON text. */
  arguments: z.string(),
  status: statusSchema,
  namespace: unsupportedOption(),
  async: onlyNeutral(false),
})

const functionCallOutputSchema = z.object({
  type: z.literal('function_call_output'),
  id: itemIdSchema.nullish(),
  call_id: callIdSchema,
  output: contentSchema,
  status: statusSchema,
})

const reasoningPart = z.object({ type: z.string(), text: z.string() })

const reasoningSchema = z.object({
  type: z.literal('reasoning'),
  id: itemIdSchema.nullish(),
  /** What is in `encrypted_content` goes before `content`, and that before `summary`. */
  summary: boundedArray(reasoningPart, { max: maxTextParts }).nullish(),
  content: boundedArray(reasoningPart, { max: maxTextParts }).nullish(),
  encrypted_content: z.string().nullish(),
  status: statusSchema,
})

const itemReferenceSchema = z.object({ type: z.literal('item_reference'), id: itemIdSchema })

const knownTypes = ['message', 'function_call', 'function_call_output', 'reasoning', 'item_reference'] as const

/** One entry of `input`. A message needs no type, nor does a reference. */
export const inputItemSchema = z.preprocess(
  withType,
  z.discriminatedUnion(
    'type',
    [messageSchema, functionCallSchema, functionCallOutputSchema, reasoningSchema, itemReferenceSchema],
    { error: (issue) => describeWrongItem(issue.input) },
  ),
)

/** A text of the user's, or what was said and done so far. */
export const responseInputSchema = z.union([z.string(), boundedArray(inputItemSchema, { max: 4096 })], {
  error: ({ input }) =>
    typeof input === 'string' || Array.isArray(input) ? undefined : 'must be a text or an array of items',
})

export type InputItem = z.infer<typeof inputItemSchema>

function withType(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || ('type' in value && value.type != null)) return value
  if ('role' in value) return { ...value, type: 'message' }
  return 'id' in value && Object.keys(value).every((key) => key === 'id' || key === 'type')
    ? { ...value, type: 'item_reference' }
    : value
}

function describeWrongItem(input: unknown): string | undefined {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return 'must be an object with a type'
  const type = 'type' in input ? input.type : undefined
  if (knownTypes.some((known) => known === type)) return undefined
  if (type === undefined) return `must have a role or a type (${knownTypes.join(', ')})`
  return `items of type ${quote(type)} are not supported: this server takes ${knownTypes.join(', ')}`
}
