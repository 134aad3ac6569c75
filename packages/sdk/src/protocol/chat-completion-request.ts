import { z } from 'zod'
import { boundedArray } from './bounded-array.ts'
import { checkConversation, conversationShape, messagesSchema } from './conversation-shape.ts'
import { checkGenerationOptions, generationOptionShape } from './generation-options.ts'
import { jsonObjectSchema } from './json-object.ts'
import { checkTools, isForcedChoice, toolChoiceSchema, toolSchema } from './tool.ts'
import { onlyNeutral, unsupportedOption } from './unsupported-option.ts'

/** Body of POST /v1/chat/completions. Unknown fields are dropped. */
export const chatCompletionRequestSchema = z
  .object({
    ...generationOptionShape,
    ...conversationShape,
    messages: messagesSchema,
    /** Absent: up to the model's context. `max_completion_tokens` wins over the older `max_tokens`. */
    max_completion_tokens: z.int().min(1).nullish(),
    max_tokens: z.int().min(1).nullish(),
    logprobs: z.boolean().nullish(),
    /** Most likely tokens per token, -1 = the whole vocabulary; the engine has a limit. Needs `logprobs: true`. */
    top_logprobs: z.int().min(-1).nullish(),
    /** Not empty; leave it out to offer none. */
    tools: boundedArray(toolSchema, { max: 1024 }).nullish(),
    tool_choice: toolChoiceSchema.nullish(),
    parallel_tool_calls: z.boolean().nullish(),
    /** Put the last message, if it has the answer's role, before the answer. */
    echo: z.boolean().nullish(),
    /** Handed to the chat template, with `enable_thinking`, which is false for "none" only. */
    reasoning_effort: z.string().min(1).max(64).nullish(),
    /** Tokens that the model may think, after which its thinking is ended; -1 = no limit. */
    thinking_token_budget: z.int().min(-1).nullish(),
    /** Default true; false leaves the reasoning out of the answer. */
    include_reasoning: z.boolean().nullish(),
    /** Say the reasoning under its older name `reasoning_content` too. Octavo's own. */
    include_reasoning_content: z.boolean().nullish(),
    documents: boundedArray(jsonObjectSchema, { max: 1024 }).nullish(),

    functions: onlyNeutral([], 'is the old form of tools; write [{"type": "function", "function": {…}}] as tools,'),
    function_call: onlyNeutral('none', 'is the old form of tool_choice; write that,'),
    audio: unsupportedOption(),
    modalities: z
      .custom<['text']>((value) => Array.isArray(value) && value.length === 1 && value[0] === 'text', {
        error: 'only ["text"] is supported so far',
      })
      .meta({ const: ['text'] })
      .nullish(),
    verbosity: onlyNeutral(
      'medium',
      'is not known to the models here; ask for short or long answers in a system message,',
    ),
    web_search_options: unsupportedOption(),
    return_prompt_text: onlyNeutral(false),
  })
  .superRefine((request, context) => {
    const fail = (field: string, message: string) => context.addIssue({ code: 'custom', path: [field], message })
    checkGenerationOptions(request, fail)
    if (request.top_logprobs != null && request.top_logprobs !== 0 && request.logprobs !== true)
      fail('top_logprobs', 'needs logprobs: true')
    checkTools(request, fail)
    if (request.structured_outputs != null && isForcedChoice(request.tool_choice))
      fail('structured_outputs', 'has nothing to hold where tool_choice demands a call; leave one of the two out')
    checkConversation(request, fail)
  })

export type ChatCompletionRequest = z.infer<typeof chatCompletionRequestSchema>
