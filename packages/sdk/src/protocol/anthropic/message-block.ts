import { z } from 'zod'
import { boundedArray } from '../bounded-array.ts'
import { jsonObjectSchema } from '../json-object.ts'

/** `cache_control` and `citations` of a block are dropped: prefixes are cached without being told, and what was cited is in the text. */
const textBlockSchema = z.object({ type: z.literal('text'), text: z.string() })

const thinkingBlockSchema = z.object({
  type: z.literal('thinking'),
  thinking: z.string(),
  /** Of no use here: what the client sends back is what the model gets to see. */
  signature: z.string().nullish(),
})

/** Another server's thinking, which only that server can read. */
const redactedThinkingBlockSchema = z.object({ type: z.literal('redacted_thinking'), data: z.string() })

const toolUseBlockSchema = z.object({
  type: z.literal('tool_use'),
  id: z.string().min(1),
  name: z.string().min(1),
  input: jsonObjectSchema,
})

const toolResultBlockSchema = z.object({
  type: z.literal('tool_result'),
  tool_use_id: z.string().min(1),
  content: z.union([z.string(), boundedArray(blocksOf(textBlockSchema), { max: 1024 })]).nullish(),
  is_error: z.boolean().nullish(),
})

const blockSchema = blocksOf(
  textBlockSchema,
  thinkingBlockSchema,
  redactedThinkingBlockSchema,
  toolUseBlockSchema,
  toolResultBlockSchema,
)

export const systemPromptSchema = z.union([z.string(), boundedArray(blocksOf(textBlockSchema), { max: 1024 })])

/** `ctx` and `msg` are Claude Code's, of turns that it writes for the user. */
const roleSchema = z.enum(['user', 'assistant', 'system', 'ctx', 'msg'], {
  error: 'must be "user", "assistant" or "system"',
})

const userBlocks = ['text', 'tool_result'] as const
const allowedBlocks = {
  user: userBlocks,
  ctx: userBlocks,
  msg: userBlocks,
  assistant: ['text', 'thinking', 'redacted_thinking', 'tool_use'],
  system: ['text'],
} as const

/** One turn of a conversation. */
export const messageParamSchema = z
  .object({ role: roleSchema, content: z.union([z.string(), boundedArray(blockSchema, { max: 1024 })]) })
  .superRefine(({ role, content }, context) => {
    if (typeof content === 'string') return
    const allowed: readonly string[] = allowedBlocks[role]
    const index = content.findIndex(({ type }) => !allowed.includes(type))
    if (index < 0) return
    const message = `blocks of type "${content[index]!.type}" are not allowed for the role ${role}, which has ${allowed.join(', ')}`
    context.addIssue({ code: 'custom', path: ['content', index], message })
  })

export type MessageBlockParam = z.infer<typeof blockSchema>
export type ToolResultBlockParam = z.infer<typeof toolResultBlockSchema>
export type SystemPrompt = z.infer<typeof systemPromptSchema>
export type MessageParam = z.infer<typeof messageParamSchema>

type BlockSchema = z.ZodObject<{ type: z.ZodLiteral<string> }>

/** A union by type, which says of any other what it is: images and documents above all. */
function blocksOf<T extends readonly [BlockSchema, ...BlockSchema[]]>(...schemas: T) {
  const known = schemas.map(({ shape }) => shape.type.value).join(', ')
  return z.discriminatedUnion('type', schemas, { error: ({ input }) => describeWrongBlock(input, known) })
}

function describeWrongBlock(input: unknown, known: string): string {
  if (typeof input !== 'object' || input === null || !('type' in input) || typeof input.type !== 'string')
    return `must be an object with a type (${known})`
  const type = input.type.length > 64 ? `${input.type.slice(0, 64)}…` : input.type
  return `blocks of type ${JSON.stringify(type)} are not supported here; this server takes text only (${known})`
}
