import type { ResponseItem, WireChatMessage, WireToolCall } from '@octavo/sdk/protocol'

/** The assistant's turn while its items are put together. */
type Turn = {
  role: 'assistant'
  content: WireChatMessage['content']
  reasoning?: string
  tool_calls?: WireToolCall[]
}

/**
 * Items as the messages of a chat, which is what templates know: what the model thought, said and called in one turn are
 * one message, as they were when it wrote them, so that the prefix cache has them.
 */
export function chatMessages(items: readonly ResponseItem[]): WireChatMessage[] {
  const messages: WireChatMessage[] = []
  let turn: Turn | null = null
  const beginTurn = (): Turn => {
    const begun: Turn = { role: 'assistant', content: null }
    messages.push(begun)
    return (turn = begun)
  }
  const currentTurn = (): Turn | null => turn
  for (const item of items) {
    const current = currentTurn()
    if (item.type === 'reasoning') {
      const isNew = current === null || current.reasoning !== undefined || hasAnswer(current)
      ;(isNew ? beginTurn() : current).reasoning = reasoningOf(item)
    } else if (item.type === 'function_call') {
      const into = current ?? beginTurn()
      into.tool_calls = [...(into.tool_calls ?? []), toolCall(item)]
    } else if (item.type === 'message' && item.role === 'assistant') {
      ;(current === null || hasAnswer(current) ? beginTurn() : current).content = contentOf(item.content)
    } else {
      turn = null
      messages.push(
        item.type === 'message'
          ? { role: item.role, content: contentOf(item.content) }
          : { role: 'tool', content: contentOf(item.output), tool_call_id: item.call_id },
      )
    }
  }
  return messages
}

function hasAnswer({ content, tool_calls: calls }: Turn): boolean {
  return content !== null || calls !== undefined
}

function reasoningOf({ content, summary }: Extract<ResponseItem, { readonly type: 'reasoning' }>): string {
  return (content.length > 0 ? content : summary).map(({ text }) => text).join('\n\n')
}

function toolCall(item: Extract<ResponseItem, { readonly type: 'function_call' }>): WireToolCall {
  return { id: item.call_id, type: 'function', function: { name: item.name, arguments: item.arguments } }
}

/** One text is a text: many templates know no parts. */
function contentOf(content: string | readonly { readonly text: string }[]): WireChatMessage['content'] {
  if (typeof content === 'string') return content
  if (content.length === 1) return content[0]!.text
  return content.map(({ text }) => ({ type: 'text', text }))
}
