import { scoreSidesOf } from './score.ts'

const poolingFieldNames: Readonly<Record<string, string>> = {
  requestId: 'request_id',
  useActivation: 'use_activation',
  cacheSalt: 'cache_salt',
  truncatePromptTokens: 'truncate_prompt_tokens',
  truncationSide: 'truncation_side',
  addSpecialTokens: 'add_special_tokens',
  chatTemplate: 'chat_template',
  chatTemplateKwargs: 'chat_template_kwargs',
  addGenerationPrompt: 'add_generation_prompt',
  continueFinalMessage: 'continue_final_message',
}

/** How requests for vectors and classes spell the fields that core names. */
export function poolingFieldName(field: string, body: unknown): string {
  if (field !== 'prompt') return poolingFieldNames[field] ?? field
  return isObject(body) && body['messages'] != null ? 'messages' : 'input'
}

/** In /v1/score. */
export function scoreFieldName(field: string, body: unknown): string {
  const [first, second] = scoreSidesOf(isObject(body) ? body : {})
  if (field === 'prompt') return first
  return field === 'pair' ? second : (poolingFieldNames[field] ?? field)
}

/** In /v1/rerank. */
export function rerankFieldName(field: string): string {
  if (field === 'prompt') return 'query'
  return field === 'pair' ? 'documents' : (poolingFieldNames[field] ?? field)
}

function isObject(body: unknown): body is Readonly<Record<string, unknown>> {
  return typeof body === 'object' && body !== null
}
