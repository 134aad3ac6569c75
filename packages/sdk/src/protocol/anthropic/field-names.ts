import { chatFieldName } from '../field-names.ts'

const names: Readonly<Record<string, string>> = {
  maxTokens: 'max_tokens',
  stop: 'stop_sequences',
  thinkingTokenBudget: 'thinking.budget_tokens',
  parallelToolCalls: 'tool_choice.disable_parallel_tool_use',
  addGenerationPrompt: 'messages',
  continueFinalMessage: 'messages',
}

/** How the Messages API spells the fields of a request that @octavo/core names; vLLM's own stay as they are in chat completions. */
export function messagesFieldName(field: string, body: unknown): string {
  return field === 'structuredOutput' ? constraintField(body) : (names[field] ?? chatFieldName(field, null))
}

/** What of a body says what its output must be. */
function constraintField(body: unknown): string {
  const fields = typeof body === 'object' && body !== null ? (body as ConstrainedBody) : {}
  if (fields.structured_outputs != null) return 'structured_outputs'
  if (fields.output_config?.format != null) return 'output_config.format'
  return fields.output_format != null ? 'output_format' : 'tools'
}

interface ConstrainedBody {
  readonly structured_outputs?: unknown
  readonly output_config?: { readonly format?: unknown } | null
  readonly output_format?: unknown
}
