import { z } from 'zod'
import { boundedArray } from '../bounded-array.ts'
import { checkGenerationOptions, generationOptionShape } from '../generation-options.ts'
import { jsonObjectSchema } from '../json-object.ts'
import { onlyNeutral, onlyNull, unsupportedOption } from '../unsupported-option.ts'
import { type MessageParam, messageParamSchema, systemPromptSchema } from './message-block.ts'
import { checkMessageTools, messageToolChoiceSchema, messageToolSchema } from './message-tool.ts'

const jsonFormatSchema = z.object(
  {
    type: z.literal('json_schema'),
    /** JSON Schema. */
    schema: jsonObjectSchema,
  },
  { error: 'must be {"type": "json_schema", "schema": {…}}' },
)

/** How the thinking is shown. A summary is never made: what is not left out is whole. */
const display = { display: z.enum(['summarized', 'omitted']).nullish() }

const thinkingSchema = z.discriminatedUnion(
  'type',
  [
    /** After so many tokens the end of the thinking is forced. */
    z.object({ type: z.literal('enabled'), budget_tokens: z.int().min(1), ...display }),
    z.object({ type: z.literal('adaptive'), ...display }),
    z.object({ type: z.literal('disabled') }),
  ],
  { error: 'must be an object with the type "enabled" (and budget_tokens), "adaptive" or "disabled"' },
)

const outputConfigSchema = z.object({
  /** Handed to the chat template as `reasoning_effort`. */
  effort: z.string().min(1).max(64).nullish(),
  format: jsonFormatSchema.nullish(),
  task_budget: unsupportedOption(),
})

const hasNoPlace = 'has no place in a message; ask /v1/chat/completions for it, or leave it out'

/** What a request says of its prompt. */
const promptShape = {
  model: z.string({ error: 'is required: one of the names that GET /v1/models lists' }).min(1),
  messages: boundedArray(messageParamSchema, { min: 1, max: 4096 }),
  system: systemPromptSchema.nullish(),
  tools: boundedArray(messageToolSchema, { max: 1024 }).nullish(),
  tool_choice: messageToolChoiceSchema.nullish(),
  thinking: thinkingSchema.nullish(),
  output_config: outputConfigSchema.nullish(),
  /** The older place of `output_config.format`. */
  output_format: jsonFormatSchema.nullish(),
  /** A Jinja template for this request; only where the server trusts its clients with it. */
  chat_template: z.string().nullish(),
  chat_template_kwargs: jsonObjectSchema.nullish(),
  speed: onlyNeutral('standard'),
  mcp_servers: onlyNeutral([], 'are not supported: this server calls no others; leave it out'),
  context_management: z
    .custom<object>(isKeepingAll, {
      error: 'only edits of the type "clear_thinking_20251015" with keep: "all" are supported; leave it out',
    })
    .meta({ type: 'object' })
    .nullish(),
  compaction: unsupportedOption(),
  thread: unsupportedOption(),
}

/** Body of POST /v1/messages. Unknown fields are dropped, `cache_control` among them: prefixes are cached without being told. */
export const messagesRequestSchema = z
  .object({
    ...generationOptionShape,
    ...promptShape,
    max_tokens: z.int({ error: 'is required: an integer of at least 1' }).min(1),
    stop_sequences: boundedArray(z.string().min(1), { max: 64 }).nullish(),
    /** The client's own name for its user: of no meaning here. */
    metadata: jsonObjectSchema.nullish(),
    /** There is one tier. */
    service_tier: z.enum(['auto', 'standard_only']).nullish(),
    container: unsupportedOption(),
    fallbacks: unsupportedOption(),
    inference_geo: unsupportedOption(),
    diagnostics: unsupportedOption(),

    stop: onlyNeutral([], 'is called stop_sequences here; write that,'),
    response_format: onlyNull('is called output_config.format here'),
    thinking_token_budget: onlyNeutral(-1, 'is called thinking.budget_tokens here; write that,'),
    n: onlyNeutral(1, hasNoPlace),
    prompt_logprobs: onlyNull(hasNoPlace),
    return_token_ids: onlyNeutral(false, hasNoPlace),
    return_tokens_as_token_ids: onlyNeutral(false, hasNoPlace),
    stream_options: onlyNeutral({}, 'is not needed: usage is always told; leave it out'),
  })
  .superRefine((request, context) => {
    const fail = (field: string, message: string) => context.addIssue({ code: 'custom', path: [field], message })
    checkGenerationOptions(request, fail)
    checkPrompt(request, fail)
    checkLastMessage(request.messages, fail)
    const isFormatted = request.output_config?.format != null || request.output_format != null
    if (request.structured_outputs != null && isFormatted)
      fail('structured_outputs', 'and a format exclude each other; give one of the two')
    const isForced = request.tool_choice?.type === 'any' || request.tool_choice?.type === 'tool'
    if (request.structured_outputs != null && isForced)
      fail('structured_outputs', 'has nothing to hold where tool_choice demands a call; leave one of the two out')
  })

/** Body of POST /v1/messages/count_tokens: what of a request makes its prompt. */
export const countTokensRequestSchema = z
  .object(promptShape)
  .superRefine((request, context) =>
    checkPrompt(request, (field, message) => context.addIssue({ code: 'custom', path: [field], message })),
  )

export type MessagesRequest = z.infer<typeof messagesRequestSchema>
export type CountTokensRequest = z.infer<typeof countTokensRequestSchema>

function checkPrompt(
  request: Pick<CountTokensRequest, 'tools' | 'tool_choice' | 'output_config' | 'output_format'>,
  fail: (field: string, message: string) => void,
): void {
  checkMessageTools(request, fail)
  if (request.output_config?.format != null && request.output_format != null)
    fail('output_format', 'is the older name of output_config.format; give one of the two')
}

/** What the assistant has said at the end is continued. */
function checkLastMessage(messages: readonly MessageParam[], fail: (field: string, message: string) => void): void {
  const last = messages.at(-1)
  if (last?.role !== 'assistant') return
  const end = typeof last.content === 'string' ? { type: 'text', text: last.content } : last.content.at(-1)
  if (end?.type === 'tool_use')
    return fail('messages', 'ends with a call; send its tool_result in a message with the role user')
  if (end === undefined || !('text' in end) || end.text === '')
    fail('messages', 'ends with a message of the assistant without text that could be continued')
}

/** No edits, or the one that changes nothing, which Claude Code asks for. */
function isKeepingAll(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const edits: unknown = 'edits' in value ? value.edits : []
  if (!Array.isArray(edits)) return false
  return (edits as unknown[]).every(
    (edit) =>
      typeof edit === 'object' &&
      edit !== null &&
      'type' in edit &&
      edit.type === 'clear_thinking_20251015' &&
      'keep' in edit &&
      edit.keep === 'all',
  )
}
