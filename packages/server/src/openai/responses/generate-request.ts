import type { GenerateRequest, PromptInput, StructuredOutput } from '@octavo/core'
import type {
  ChatCompletionRequest,
  ResponseItem,
  ResponseRequest,
  ResponseTool,
  ResponseToolChoice,
  WireChatMessage,
  WireTool,
  WireToolChoice,
} from '@octavo/sdk/protocol'
import type { JsonSource } from '../../json-source.ts'
import type { Generation } from '../../open-generation.ts'
import { chatPrompt } from '../chat-prompt.ts'
import { commonRequestFields, samplingParams } from '../sampling-params.ts'
import { mayHaveGrammar, structuredOutput } from '../structured-output.ts'
import { chatMessages } from './chat-messages.ts'

export interface ToGenerateRequest {
  readonly request: ResponseRequest
  readonly items: readonly ResponseItem[]
  readonly generation: Pick<Generation, 'engineRequestId' | 'model' | 'cacheSalt'>
  /** With the body's text at hand, schemas stay as they were written. */
  readonly source: JsonSource | undefined
}

/** A response → the engine's request. */
export function toGenerateRequest({ request, items, generation, source }: ToGenerateRequest): GenerateRequest {
  const wantsLogprobs = request.include?.includes('message.output_text.logprobs') === true
  return {
    ...commonRequestFields(request, generation),
    outputKind: 'delta',
    prompt: responsePrompt(request, items, source),
    params: {
      ...samplingParams(request),
      structuredOutput: outputFormat(request, source),
      thinkingTokenBudget: request.thinking_token_budget === -1 ? null : (request.thinking_token_budget ?? undefined),
      maxTokens: request.max_output_tokens ?? null,
      logprobs: wantsLogprobs ? (request.top_logprobs ?? 0) : null,
    },
  }
}

/** Whether a grammar may hold the output. */
export function mayBeHeld(request: ResponseRequest): boolean {
  return outputFormat(request, undefined) !== undefined || mayHaveGrammar(toolFields(request))
}

function responsePrompt(
  request: ResponseRequest,
  items: readonly ResponseItem[],
  source: JsonSource | undefined,
): PromptInput {
  const instructions: WireChatMessage[] =
    request.instructions == null ? [] : [{ role: 'system', content: request.instructions }]
  const prompt = chatPrompt({
    messages: [...instructions, ...chatMessages(items)],
    ...toolFields(request),
    parallel_tool_calls: request.parallel_tool_calls,
    reasoning_effort: request.reasoning?.effort,
    add_special_tokens: request.add_special_tokens,
  })
  const written = source?.member('tools')?.elements()
  if (prompt.type !== 'chat' || prompt.tools == null || written === undefined) return prompt
  return { ...prompt, tools: `[${request.tools!.map((tool, i) => toolText(tool, written[i]!)).join(',')}]` }
}

function toolFields({
  tools,
  tool_choice: choice,
}: ResponseRequest): Pick<ChatCompletionRequest, 'tools' | 'tool_choice'> {
  if (tools == null || tools.length === 0) return {}
  return { tools: tools.map(chatTool), tool_choice: choice == null ? choice : chatToolChoice(choice) }
}

/** As chat has it, and as templates know it: what says it is a function stands around it. */
function chatTool({ type, name, description, parameters, strict }: ResponseTool): WireTool {
  return {
    type,
    function: {
      name,
      ...(description != null && { description }),
      ...(parameters != null && { parameters }),
      ...(strict != null && { strict }),
    },
  }
}

function toolText(tool: ResponseTool, source: JsonSource): string {
  const { function: signature } = chatTool(tool)
  const members = Object.entries(signature).map(([key, value]) => {
    const text = key === 'parameters' ? source.member(key)?.text : undefined
    return `${JSON.stringify(key)}:${text ?? JSON.stringify(value)}`
  })
  return `{"type":"function","function":{${members.join(',')}}}`
}

function chatToolChoice(choice: ResponseToolChoice): WireToolChoice {
  if (typeof choice === 'string') return choice
  if (choice.type === 'function') return { type: 'function', function: { name: choice.name } }
  const tools = choice.tools.map(({ name }) => ({ type: 'function' as const, function: { name } }))
  return { type: 'allowed_tools', allowed_tools: { mode: choice.mode, tools } }
}

function outputFormat(request: ResponseRequest, source: JsonSource | undefined): StructuredOutput | undefined {
  const format = request.text?.format
  switch (format?.type) {
    case 'json_object':
      return { type: 'jsonObject' }
    case 'json_schema': {
      const written = source?.member('text')?.member('format')?.member('schema')
      return { type: 'json', schema: written?.text ?? format.schema }
    }
    case 'text':
    case undefined:
      return structuredOutput({ structured_outputs: request.structured_outputs }, source)
  }
}
