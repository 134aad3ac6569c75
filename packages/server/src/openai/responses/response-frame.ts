import type { ServedModel } from '@octavo/core'
import type { ResponseObject, ResponseRequest, ResponseTool, TextConfig } from '@octavo/sdk/protocol'

export interface FrameOptions {
  readonly id: string
  /** Seconds since 1970. */
  readonly created: number
  readonly model: ServedModel
}

/** A response before anything is known of its output: what was asked for, with the keys that OpenAI's has. */
export function responseFrame(request: ResponseRequest, { id, created, model }: FrameOptions): ResponseObject {
  const { temperature, topP } = model.samplingDefaults ?? { temperature: 1, topP: 1 }
  return {
    id,
    object: 'response',
    created_at: created,
    status: 'in_progress',
    background: request.background ?? false,
    completed_at: null,
    error: null,
    incomplete_details: null,
    instructions: request.instructions ?? null,
    max_output_tokens: request.max_output_tokens ?? null,
    max_tool_calls: request.max_tool_calls ?? null,
    model: model.id,
    output: [],
    parallel_tool_calls: request.parallel_tool_calls ?? true,
    previous_response_id: request.previous_response_id ?? null,
    prompt_cache_key: request.prompt_cache_key ?? null,
    reasoning: { effort: request.reasoning?.effort ?? null, summary: request.reasoning?.summary ?? null },
    safety_identifier: request.safety_identifier ?? null,
    service_tier: 'default',
    store: request.store ?? true,
    temperature: request.temperature ?? temperature,
    text: { format: textFormat(request.text?.format), verbosity: 'medium' },
    tool_choice: request.tool_choice ?? 'auto',
    tools: (request.tools ?? []).map(toolSaidAgain),
    top_logprobs: request.top_logprobs ?? 0,
    top_p: request.top_p ?? topP,
    presence_penalty: request.presence_penalty ?? 0,
    frequency_penalty: request.frequency_penalty ?? 0,
    truncation: request.truncation ?? 'disabled',
    usage: null,
    user: request.user ?? null,
    metadata: request.metadata ?? {},
  }
}

function toolSaidAgain({ type, name, description, parameters, strict }: ResponseTool) {
  return { type, name, description: description ?? null, parameters: parameters ?? null, strict: strict ?? false }
}

function textFormat(format: TextConfig['format']): object {
  if (format?.type !== 'json_schema') return format ?? { type: 'text' }
  const { type, name, description, schema, strict } = format
  return { type, name, description: description ?? null, schema, strict: strict ?? false }
}
