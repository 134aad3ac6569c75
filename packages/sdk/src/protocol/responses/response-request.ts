import { z } from 'zod'
import { boundedArray } from '../bounded-array.ts'
import { generationOptionShape } from '../generation-options.ts'
import { onlyNeutral, removedOption, unsupportedOption } from '../unsupported-option.ts'
import { responseInputSchema } from './input-item.ts'
import { checkResponseTools, responseToolChoiceSchema, responseToolSchema } from './response-tool.ts'
import { textConfigSchema } from './text-config.ts'

/** Those of chat that are spelt otherwise here, or have no place in a response. */
const { shape: commonShape } = z.object(generationOptionShape).omit({
  n: true,
  response_format: true,
  prompt_logprobs: true,
  return_token_ids: true,
  truncate_prompt_tokens: true,
  truncation_side: true,
  stream_options: true,
})

/**
 * What an answer may be asked to have besides. All but the first two are of tools that OpenAI runs, and of images: here
 * there are none that they could be left out of.
 */
export const includableSchema = z.enum(
  [
    'message.output_text.logprobs',
    'reasoning.encrypted_content',
    'code_interpreter_call.outputs',
    'computer_call_output.output.image_url',
    'file_search_call.results',
    'message.input_image.image_url',
    'web_search_call.action.sources',
    'web_search_call.results',
  ],
  { error: 'must be one of those that the OpenAI API knows, as "message.output_text.logprobs"' },
)

const maxMetadataKeys = 16

const metadataSchema = z
  .record(z.string().max(64, { error: 'has a key of more than 64 characters' }), z.string().max(512))
  .refine((metadata) => Object.keys(metadata).length <= maxMetadataKeys, {
    error: `must have at most ${maxMetadataKeys} keys`,
  })

const reasoningConfigSchema = z.object({
  /** Handed to the chat template, with `enable_thinking`, which is false for "none" only. */
  effort: z.string().min(1).max(64).nullish(),
  /** Show the reasoning as a summary: all of it, as nobody here makes it shorter. */
  summary: z
    .enum(['auto', 'detailed'], {
      error: 'must be "auto" or "detailed": the reasoning is shown as it is, nothing here makes it concise',
    })
    .nullish(),
  generate_summary: removedOption('write summary'),
  context: onlyNeutral('auto', 'is decided by the chat template; leave it out'),
  mode: onlyNeutral('standard'),
})

const identifierSchema = z.string().max(512).nullish()

/** Body of POST /v1/responses. Unknown fields are dropped. */
export const responseRequestSchema = z
  .object({
    ...commonShape,
    /** May be left out behind a `previous_response_id` only. */
    input: responseInputSchema.nullish(),
    /** A system message for this response alone. */
    instructions: z.string().nullish(),
    previous_response_id: z.string().min(1).max(256).nullish(),
    /** Default true: it can be read, and gone on from, until it is deleted or the store needs its place. */
    store: z.boolean().nullish(),
    /** Answer at once, and go on without the client. */
    background: z.boolean().nullish(),
    include: boundedArray(includableSchema, { max: 64 }).nullish(),
    max_output_tokens: z.int().min(1).nullish(),
    /** Of tools that the server runs itself, of which there are none: any number is kept to. */
    max_tool_calls: z.int().min(1).nullish(),
    metadata: metadataSchema.nullish(),
    parallel_tool_calls: z.boolean().nullish(),
    reasoning: reasoningConfigSchema.nullish(),
    /** Tokens that the model may think, after which its thinking is ended; -1 = no limit. */
    thinking_token_budget: z.int().min(-1).nullish(),
    text: textConfigSchema.nullish(),
    tools: boundedArray(responseToolSchema, { max: 1024 }).nullish(),
    tool_choice: responseToolChoiceSchema.nullish(),
    /** Most likely tokens per token; needs `include: ["message.output_text.logprobs"]`. */
    top_logprobs: z.int().min(0).max(20).nullish(),
    /** 'auto': of a conversation that does not fit, the oldest turns are left out. */
    truncation: z.enum(['auto', 'disabled']).nullish(),
    stream_options: z
      .object({ include_obfuscation: onlyNeutral(false, 'is not supported: events are not padded; leave it out') })
      .nullish(),

    /** Said again in the response, as with OpenAI; nothing else comes of them. */
    user: identifierSchema,
    safety_identifier: identifierSchema,
    prompt_cache_key: identifierSchema,
    service_tier: z
      .enum(['auto', 'default'], { error: 'must be "auto" or "default": this server has one tier' })
      .nullish(),
    prompt_cache_retention: onlyNeutral('in_memory', 'is not supported: the prefix cache is in memory; leave it out'),

    conversation: unsupported('conversation objects are not supported; use previous_response_id, or send all items'),
    prompt: unsupported('prompt templates are not kept here; send instructions and input'),
    prompt_cache_options: onlyNeutral({}),
    context_management: onlyNeutral([]),
    moderation: unsupportedOption(),
    modalities: unsupportedOption(),
    image: onlyNeutral({}),
    access_programs: onlyNeutral({}),
    n: onlyNeutral(1),
    prompt_logprobs: unsupportedOption(),
    return_token_ids: onlyNeutral(false),
    truncate_prompt_tokens: unsupported('is not supported here; write truncation: "auto"'),
    chat_template: unsupportedOption(),
    chat_template_kwargs: onlyNeutral({}),
    mm_processor_kwargs: onlyNeutral({}),
    enable_response_messages: onlyNeutral(false),
    previous_input_messages: unsupported('is not supported; send them as input'),
    previous_response: unsupported('is not supported; send its output as input, or previous_response_id'),

    messages: unsupported("is chat's name; write input"),
    max_tokens: unsupported("is chat's name; write max_output_tokens"),
    max_completion_tokens: unsupported("is chat's name; write max_output_tokens"),
    reasoning_effort: unsupported('is chat\'s name; write reasoning: {"effort": …}'),
    response_format: unsupported('is chat\'s name; write text: {"format": …}'),
    logprobs: unsupported('is chat\'s name; write include: ["message.output_text.logprobs"]'),
  })
  .superRefine((request, context) => {
    const fail = (field: string, message: string) => context.addIssue({ code: 'custom', path: [field], message })
    checkResponseTools(request, fail)
    const isEmpty = request.input == null || request.input.length === 0
    if (isEmpty && request.previous_response_id == null) fail('input', 'is required: a text or an array of items')
    if (request.background === true && request.store === false)
      fail('background', 'needs store: true, or there is nothing to ask for later')
    if ((request.top_logprobs ?? 0) > 0 && request.include?.includes('message.output_text.logprobs') !== true)
      fail('top_logprobs', 'needs include: ["message.output_text.logprobs"]')
    if (request.stream_options != null && request.stream !== true) fail('stream_options', 'needs stream: true')
    const format = request.text?.format?.type ?? 'text'
    if (request.structured_outputs != null && format !== 'text')
      fail('structured_outputs', 'and text.format exclude each other; give one of the two')
    if (request.structured_outputs != null && isForced(request.tool_choice))
      fail('structured_outputs', 'has nothing to hold where tool_choice demands a call; leave one of the two out')
  })

export type ResponseRequest = z.infer<typeof responseRequestSchema>
export type Includable = z.infer<typeof includableSchema>

function unsupported(error: string) {
  return z
    .custom<null>((value) => value === null, { error })
    .meta({ type: 'null', description: error })
    .optional()
}

function isForced(choice: ResponseRequest['tool_choice']): boolean {
  if (choice == null || typeof choice === 'string') return choice === 'required'
  return choice.type === 'function' || choice.mode === 'required'
}
