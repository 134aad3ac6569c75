import { type ChatCompletionChunk, chatCompletionChunkSchema } from '@octavo/sdk/protocol'

/** A choice of a streamed chat, put together as clients do. */
export interface JoinedChoice {
  role: string | null
  content: string
  reasoning: string
  toolCalls: { id: string; name: string; arguments: string }[]
  logprobs: unknown[]
  tokenIds: number[]
  finishReason: string | null
  stopReason: unknown
}

/** @throws Error where the chunks break the rules that clients rely on */
export function joinChunks(events: readonly unknown[]): JoinedChoice[] {
  const choices: JoinedChoice[] = []
  if (events.at(-1) !== '[DONE]') throw new Error('the stream has no end')
  for (const event of events.slice(0, -1)) {
    for (const choice of chatCompletionChunkSchema.parse(event).choices) {
      const joined = (choices[choice.index] ??= emptyChoice())
      if (joined.finishReason !== null) throw new Error('a chunk came after the last of its choice')
      addDelta(joined, choice.delta)
      joined.logprobs.push(...(choice.logprobs?.content ?? []))
      joined.tokenIds.push(...(choice.token_ids ?? []))
      joined.finishReason = choice.finish_reason
      joined.stopReason = choice.stop_reason
    }
  }
  return choices
}

function addDelta(joined: JoinedChoice, delta: ChatCompletionChunk['choices'][number]['delta']): void {
  if ((joined.role === null) !== (delta.role !== undefined)) throw new Error('the role comes with the first chunk only')
  joined.role ??= delta.role ?? null
  joined.content += delta.content ?? ''
  joined.reasoning += delta.reasoning ?? ''
  for (const { index, id, function: call } of delta.tool_calls ?? []) {
    const isNew = index === joined.toolCalls.length
    if (isNew !== (typeof id === 'string' && typeof call.name === 'string'))
      throw new Error('id and name come with the first piece of a call only')
    if (isNew) joined.toolCalls.push({ id: id!, name: call.name!, arguments: '' })
    joined.toolCalls[index]!.arguments += call.arguments ?? ''
  }
}

function emptyChoice(): JoinedChoice {
  return {
    role: null,
    content: '',
    reasoning: '',
    toolCalls: [],
    logprobs: [],
    tokenIds: [],
    finishReason: null,
    stopReason: undefined,
  }
}
