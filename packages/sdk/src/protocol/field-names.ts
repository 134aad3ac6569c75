/** How OpenAI's wire spells the fields of a request that @octavo/core names: beside the schemas, since both say what the wire has. */

const generationFieldNames = {
  requestId: 'request_id',
  model: 'model',
  messages: 'messages',
  n: 'n',
  maxTokens: 'max_tokens',
  minTokens: 'min_tokens',
  temperature: 'temperature',
  topP: 'top_p',
  topK: 'top_k',
  minP: 'min_p',
  presencePenalty: 'presence_penalty',
  frequencyPenalty: 'frequency_penalty',
  repetitionPenalty: 'repetition_penalty',
  seed: 'seed',
  stop: 'stop',
  stopTokenIds: 'stop_token_ids',
  includeStopStrInOutput: 'include_stop_str_in_output',
  ignoreEos: 'ignore_eos',
  logprobs: 'logprobs',
  promptLogprobs: 'prompt_logprobs',
  logitBias: 'logit_bias',
  allowedTokenIds: 'allowed_token_ids',
  badWords: 'bad_words',
  skipSpecialTokens: 'skip_special_tokens',
  spacesBetweenSpecialTokens: 'spaces_between_special_tokens',
  addSpecialTokens: 'add_special_tokens',
  priority: 'priority',
  cacheSalt: 'cache_salt',
  truncatePromptTokens: 'truncate_prompt_tokens',
  truncationSide: 'truncation_side',
}

const completionFieldNames: Readonly<Record<string, string>> = { ...generationFieldNames, prompt: 'prompt' }

const chatFieldNames: Readonly<Record<string, string>> = {
  ...generationFieldNames,
  prompt: 'messages',
  /** `logprobs` is a switch there. */
  logprobs: 'top_logprobs',
  tools: 'tools',
  toolChoice: 'tool_choice',
  parallelToolCalls: 'parallel_tool_calls',
  thinkingTokenBudget: 'thinking_token_budget',
  chatTemplate: 'chat_template',
  chatTemplateKwargs: 'chat_template_kwargs',
  addGenerationPrompt: 'add_generation_prompt',
  continueFinalMessage: 'continue_final_message',
}

const responsesFieldNames: Readonly<Record<string, string>> = {
  ...chatFieldNames,
  messages: 'input',
  prompt: 'input',
  maxTokens: 'max_output_tokens',
  /** What it does is asked for otherwise there. */
  truncatePromptTokens: 'truncation: "auto"',
}

/** In /v1/completions. A name that it does not have stays as it is. */
export function completionFieldName(field: string, body?: unknown): string {
  return field === 'structuredOutput' ? constraintField(body) : (completionFieldNames[field] ?? field)
}

/** In /v1/chat/completions; of its two names for `maxTokens`, the one that the body uses. */
export function chatFieldName(field: string, body: unknown): string {
  const hasNewName = typeof body === 'object' && body !== null && 'max_completion_tokens' in body
  if (field === 'maxTokens' && hasNewName && body.max_completion_tokens != null) return 'max_completion_tokens'
  return field === 'structuredOutput' ? constraintField(body) : (chatFieldNames[field] ?? field)
}

/** In /v1/responses. */
export function responsesFieldName(field: string, body: unknown): string {
  if (field !== 'structuredOutput') return responsesFieldNames[field] ?? field
  const { text, structured_outputs: constraint } =
    typeof body === 'object' && body !== null ? (body as ConstrainedResponse) : {}
  const hasFormat = text?.format != null && text.format.type !== 'text'
  return constraint == null && hasFormat ? 'text.format' : constraintField(body)
}

/** What of a body says what its output must be: a constraint, a format, or tools. */
function constraintField(body: unknown): string {
  const fields = typeof body === 'object' && body !== null ? (body as ConstrainedBody) : {}
  if (fields.structured_outputs != null) return 'structured_outputs'
  if (fields.response_format != null && fields.response_format.type !== 'text') return 'response_format'
  return fields.tools == null ? 'structured_outputs' : 'tools'
}

interface ConstrainedResponse {
  readonly structured_outputs?: unknown
  readonly text?: { readonly format?: { readonly type?: unknown } | null } | null
}

interface ConstrainedBody {
  readonly structured_outputs?: unknown
  readonly response_format?: { readonly type?: unknown } | null
  readonly tools?: unknown
}
