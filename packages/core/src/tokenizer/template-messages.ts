import type { ChatMessage } from './chat-message.ts'
import type { ContentFormat } from './content-format.ts'
import { Budget } from './jinja/budget.ts'
import { JinjaError } from './jinja/jinja-error.ts'
import { writeJson } from './jinja/json-text.ts'
import { parseJson } from './jinja/parse-json.ts'
import { toValue } from './jinja/to-value.ts'
import { Dict, type Value } from './jinja/values.ts'

/**
 * Messages as templates expect them, which is as vLLM's message parser hands them over:
 * - content is text, or parts for a template that goes through them; none is empty; parts are joined by line ends;
 * - arguments of tool calls are objects, empty ones where they are no JSON object; no calls are no `tool_calls`;
 * - `developer` is `system` to a template that has no such role; other roles go as they are;
 * - null fields are absent, unknown ones stay.
 */
export function toTemplateMessages(messages: readonly ChatMessage[], format: ContentFormat): Dict[] {
  return messages.map((message) => toTemplateMessage(message, format))
}

/** For templates that add arguments to texts as they are: the same messages with arguments as JSON text. */
export function withTextArguments(messages: readonly Dict[]): Dict[] {
  return messages.map((message) => {
    const calls = message.getText('tool_calls')
    if (!Array.isArray(calls)) return message
    const copy = message.copy()
    copy.setText('tool_calls', calls.map(toTextCall))
    return copy
  })
}

function toTextCall(call: Value): Value {
  const fn = call instanceof Dict ? call.getText('function') : undefined
  if (!(call instanceof Dict) || !(fn instanceof Dict)) return call
  const [whole, inner] = [call.copy(), fn.copy()]
  const options = { isAscii: false, indentation: null, separators: null, sorts: false }
  inner.setText('arguments', writeJson(fn.getText('arguments') ?? new Dict(), options, new Budget()))
  whole.setText('function', inner)
  return whole
}

function toTemplateMessage(message: ChatMessage, format: ContentFormat): Dict {
  const dict = new Dict()
  for (const [name, value] of Object.entries(message)) if (value != null) dict.setText(name, toValue(value))
  dict.setText('role', message.role === 'developer' && !format.words.has('developer') ? 'system' : message.role)
  dict.setText('content', toContent(message.content, format))
  normalizeReasoning(dict)
  const calls = dict.getText('tool_calls')
  if (!Array.isArray(calls)) return dict
  if (calls.length === 0) dict.deleteText('tool_calls')
  else dict.setText('tool_calls', calls.map(toToolCall))
  return dict
}

function toContent(content: ChatMessage['content'] | undefined, { takesParts, takesText }: ContentFormat): Value {
  if (content == null) return takesParts && !takesText ? [] : ''
  if (typeof content === 'string') return takesParts && !takesText ? [textPart(content)] : content
  const texts = content.map((part) => (typeof part === 'string' ? part : part.text))
  return takesParts ? texts.map(textPart) : texts.join('\n')
}

function textPart(text: string): Dict {
  const part = new Dict()
  part.setText('type', 'text')
  part.setText('text', text)
  return part
}

/** Templates know the text of reasoning by either name. */
function normalizeReasoning(dict: Dict): void {
  const reasoning = dict.getText('reasoning') ?? dict.getText('reasoning_content')
  if (reasoning === undefined) return
  dict.setText('reasoning', reasoning)
  dict.setText('reasoning_content', reasoning)
}

function toToolCall(call: Value): Value {
  const fn = call instanceof Dict ? call.getText('function') : undefined
  if (!(call instanceof Dict) || !(fn instanceof Dict)) return call
  const [whole, inner] = [call.copy(), fn.copy()]
  inner.setText('arguments', toArguments(fn.getText('arguments')))
  whole.setText('function', inner)
  return whole
}

/** What a model wrote may be no JSON; the conversation goes on nevertheless. */
function toArguments(value: Value | undefined): Dict {
  const parsed = typeof value === 'string' ? tryParseJson(value) : value
  return parsed instanceof Dict ? parsed : new Dict()
}

function tryParseJson(text: string): Value {
  try {
    return parseJson(text)
  } catch (error) {
    if (error instanceof JinjaError) return null
    throw error
  }
}
