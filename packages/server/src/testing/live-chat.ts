import { AsyncEngine } from '@octavo/core'
import { type ChatCompletion, chatCompletionSchema } from '@octavo/sdk/protocol'
import { createApp } from '../app.ts'
import { type JoinedChoice, joinChunks } from './join-chunks.ts'
import { readEvents } from './read-events.ts'

/** A choice, streamed or not, without the ids of calls, which are drawn. */
export type ChatChoice = Omit<JoinedChoice, 'toolCalls'> & { toolCalls: { name: string; arguments: string }[] }

/** The embedded model behind the HTTP API. */
export interface LiveChat {
  readonly engine: AsyncEngine
  send(body: object, path?: string): Promise<{ readonly status: number; readonly body: string }>
  whole(body: object): Promise<ChatChoice[]>
  streamed(body: object): Promise<ChatChoice[]>
  close(): Promise<void>
}

export async function openLiveChat(options: { readonly chatTemplate?: string } = {}): Promise<LiveChat> {
  const engine = await AsyncEngine.create({ model: 'octavo-tiny', ...options })
  const app = createApp({ engine, version: '0' })
  const send = async (payload: object, path = 'chat/completions') => {
    const response = await app.inject({ method: 'POST', url: `/v1/${path}`, payload })
    return { status: response.statusCode, body: response.body }
  }
  const answer = async (body: object): Promise<string> => {
    const response = await send(body)
    if (response.status !== 200) throw new Error(`${response.body} for ${JSON.stringify(body)}`)
    return response.body
  }
  return {
    engine,
    send,
    whole: async (body) => chatCompletionSchema.parse(JSON.parse(await answer(body))).choices.map(toChoice),
    streamed: async (body) => joinChunks(readEvents(await answer({ ...body, stream: true }))).map(withoutIds),
    async close() {
      await app.close()
      await engine.shutdown()
    },
  }
}

function toChoice({ message, ...choice }: ChatCompletion['choices'][number]): ChatChoice {
  return {
    role: message.role,
    content: message.content ?? '',
    reasoning: message.reasoning ?? '',
    toolCalls: (message.tool_calls ?? []).map(({ function: { name, arguments: text } }) => ({
      name,
      arguments: String(text),
    })),
    logprobs: choice.logprobs?.content ?? [],
    tokenIds: choice.token_ids ?? [],
    finishReason: choice.finish_reason,
    stopReason: choice.stop_reason,
  }
}

function withoutIds({ toolCalls, ...choice }: JoinedChoice): ChatChoice {
  return { ...choice, toolCalls: toolCalls.map(({ name, arguments: text }) => ({ name, arguments: text })) }
}
