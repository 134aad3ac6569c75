import type { ToolChoice } from '../chat-format/tool-choice.ts'
import { InvalidRequestError } from '../errors.ts'
import type { ToolDefinition } from '../tokenizer/chat-message.ts'
import { isJsonObject } from '../util/json-object.ts'
import type { PromptInput } from './engine-client.ts'

export type ChatPrompt = Extract<PromptInput, { type: 'chat' }>

/** What the model may call. */
export interface OfferedTools {
  readonly tools: readonly ToolDefinition[]
  readonly choice: ToolChoice
}

/** The model must call a tool. */
export function isForced(choice: ToolChoice): boolean {
  if (typeof choice === 'string') return choice === 'required'
  return 'name' in choice || choice.mode === 'required'
}

/** @throws InvalidRequestError where a tool has no name, or that of another, or one is chosen that is none of them */
export function offeredTools({ tools: given, toolChoice }: ChatPrompt): OfferedTools | null {
  const tools = parseTools(given ?? [])
  const choice = toolChoice ?? 'auto'
  if (choice === 'none') return null
  if (tools.length === 0) {
    if (toolChoice == null) return null
    throw new InvalidRequestError([{ field: 'toolChoice' }, ' needs ', { field: 'tools' }, '.'], 'toolChoice')
  }
  const names = new Set(tools.map((tool) => tool.function.name))
  const chosen = typeof choice === 'string' ? [] : 'name' in choice ? [choice.name] : choice.allowed
  const unknown = chosen.find((name) => !names.has(name))
  if (unknown === undefined) return { tools, choice }
  throw new InvalidRequestError(
    [
      { field: 'toolChoice' },
      ` names "${unknown}", which is none of the tools (${[...names].slice(0, 16).join(', ')}).`,
    ],
    'toolChoice',
  )
}

function parseTools(given: readonly ToolDefinition[] | string): readonly ToolDefinition[] {
  const tools: unknown = typeof given === 'string' ? parseJson(given) : given
  if (!Array.isArray(tools)) return failTools(' must be an array of tools.')
  const names = new Set<string>()
  for (const [index, tool] of (tools as unknown[]).entries()) {
    const name = nameOf(tool)
    if (name === null) failTools(`[${index}] must be {"type": "function", "function": {"name": …}}.`)
    else if (names.has(name)) failTools(`[${index}] has the name "${name}" of another tool.`)
    else names.add(name)
  }
  return tools as readonly ToolDefinition[]
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function nameOf(tool: unknown): string | null {
  const signature = isJsonObject(tool) ? tool['function'] : null
  const name = isJsonObject(signature) ? signature['name'] : null
  return typeof name === 'string' && name !== '' ? name : null
}

function failTools(reason: string): never {
  throw new InvalidRequestError([{ field: 'tools' }, reason], 'tools')
}
