import type { ChatMessage, ToolCall } from '@octavo/core'
import type { CountTokensRequest, MessageBlockParam, MessageParam, ToolResultBlockParam } from '@octavo/sdk/protocol'
import type { JsonSource } from '../json-source.ts'

type BlockOf<Type extends MessageBlockParam['type']> = Extract<MessageBlockParam, { type: Type }>

/**
 * Anthropic's turns as the messages that chat templates know: results of tools are messages of their own, before what the
 * user says beside them; system texts that stand between turns are told within the user's.
 */
export function toChatMessages(
  { system, messages }: Pick<CountTokensRequest, 'system' | 'messages'>,
  source?: JsonSource,
): ChatMessage[] {
  const sources = source?.elements()
  const numLeading = messages.findIndex(({ role }) => role !== 'system')
  const leading = numLeading < 0 ? messages : messages.slice(0, numLeading)
  const systemText = [...textsOf(system ?? ''), ...leading.flatMap(({ content }) => textsOf(content))].filter(
    isForModel,
  )
  const turns = messages.flatMap((message, index) =>
    index < leading.length ? [] : toTurn(message, sources?.[index]?.member('content')),
  )
  const first = systemText.length === 0 ? [] : [{ role: 'system', content: systemText.join('\n') }]
  return [...first, ...foldSystemTexts(turns)]
}

function toTurn({ role, content }: MessageParam, source: JsonSource | undefined): ChatMessage[] {
  switch (role) {
    case 'system':
      return [{ role, content: textsOf(content).filter(isForModel).join('\n') }]
    case 'assistant':
      return [typeof content === 'string' ? { role, content } : assistantMessage(content, source)]
    default:
      return typeof content === 'string' ? [{ role: 'user', content }] : userMessages(content)
  }
}

function userMessages(blocks: readonly MessageBlockParam[]): ChatMessage[] {
  const results = blocksOf('tool_result', blocks).map(toolMessage)
  const texts = textsOf(blocks)
  return texts.length === 0 && results.length > 0
    ? results
    : [...results, { role: 'user', content: contentOf(texts) ?? '' }]
}

/** Templates know no failed results, so the text says it. */
function toolMessage({ tool_use_id: id, content, is_error: isError }: ToolResultBlockParam): ChatMessage {
  const text = textsOf(content ?? '').join('\n')
  return {
    role: 'tool',
    tool_call_id: id,
    content: isError === true && !/^\W*error/i.test(text) ? `Error: ${text}` : text,
  }
}

function assistantMessage(blocks: readonly MessageBlockParam[], source: JsonSource | undefined): ChatMessage {
  const sources = source?.elements()
  const reasoning = blocksOf('thinking', blocks)
    .map(({ thinking }) => thinking)
    .join('')
  const calls = blocks.flatMap((block, index) =>
    block.type === 'tool_use' ? [toolCall(block, sources?.[index]?.member('input'))] : [],
  )
  return {
    role: 'assistant',
    content: contentOf(textsOf(blocks)),
    ...(reasoning !== '' && { reasoning }),
    ...(calls.length > 0 && { tool_calls: calls }),
  }
}

function toolCall({ id, name, input }: BlockOf<'tool_use'>, source: JsonSource | undefined): ToolCall {
  return { id, type: 'function', function: { name, arguments: source?.text ?? JSON.stringify(input) } }
}

/** A system message in the middle is one that many templates refuse or drop. Appended to what stands before it, it leaves the prompt's beginning, and so the cached prefix, as it was. */
function foldSystemTexts(turns: readonly ChatMessage[]): ChatMessage[] {
  const folded: ChatMessage[] = []
  let pending: string[] = []
  for (const turn of turns) {
    const last = folded.at(-1)
    if (turn.role !== 'system') {
      if (pending.length > 0 && turn.role === 'assistant') folded.push({ role: 'user', content: contentOf(pending) })
      folded.push(turn.role === 'assistant' ? turn : withTexts(turn, pending, []))
      pending = []
    } else if (turn.content === '') continue
    else if (last !== undefined && last.role !== 'assistant')
      folded[folded.length - 1] = withTexts(last, [], [turn.content as string])
    else pending.push(turn.content as string)
  }
  return pending.length === 0 ? folded : [...folded, { role: 'user', content: contentOf(pending) }]
}

function withTexts(message: ChatMessage, before: readonly string[], after: readonly string[]): ChatMessage {
  if (before.length + after.length === 0) return message
  const { content } = message
  const own =
    typeof content === 'string'
      ? [content]
      : (content ?? []).map((part) => (typeof part === 'string' ? part : part.text))
  const texts = [...before, ...own, ...after].filter((text) => text !== '')
  return { ...message, content: message.role === 'tool' ? texts.join('\n') : contentOf(texts) }
}

function contentOf(texts: readonly string[]): ChatMessage['content'] {
  if (texts.length <= 1) return texts[0] ?? null
  return texts.map((text) => ({ type: 'text', text }))
}

function blocksOf<Type extends MessageBlockParam['type']>(
  type: Type,
  blocks: readonly MessageBlockParam[],
): BlockOf<Type>[] {
  return blocks.filter((block): block is BlockOf<Type> => block.type === type)
}

function textsOf(content: string | readonly MessageBlockParam[]): string[] {
  if (typeof content === 'string') return content === '' ? [] : [content]
  return blocksOf('text', content).map(({ text }) => text)
}

/** Claude Code's note to those who bill it, another one in each request: it says nothing to a model, and no prefix that begins with it is ever found in the cache. */
function isForModel(text: string): boolean {
  return !text.startsWith('x-anthropic-billing-header')
}
