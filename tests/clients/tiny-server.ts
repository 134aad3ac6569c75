import { AsyncEngine } from '@octavo/core'
import { type AppOptions, createApp, listen } from '@octavo/server'

/** What a client sent, as far as the tests look at it. */
export interface SentRequest {
  readonly stream?: boolean
  readonly tool_choice?: unknown
  readonly parallel_tool_calls?: boolean
  readonly tools?: readonly { readonly function: { readonly name: string; readonly strict?: boolean } }[]
  readonly response_format?: { readonly type: string }
  readonly messages: readonly { readonly role: string }[]
}

/** octavo-tiny behind HTTP, in this process. */
export interface TinyServer extends AsyncDisposable {
  /** Without a path. */
  readonly origin: string
  /** With the trailing /v1. */
  readonly baseURL: string
  readonly model: 'octavo-tiny'
  /** For clients that take a fetch: keeps what they send. */
  readonly fetch: typeof fetch
  /** The bodies sent by `fetch` since the last call. */
  takeSent(): SentRequest[]
}

/** It always thinks before it answers, unless it is told not to; octavo-tiny was not trained to, so its thoughts are idle. */
const thinkingTemplate = `{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.role == 'assistant' %}{{- '<think>\\n' + (message.reasoning_content or '') + '\\n</think>\\n\\n' }}{%- endif %}
{{- message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n<think>\\n' }}
{%- if enable_thinking is defined and not enable_thinking %}{{- '\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}`

export interface TinyServerOptions extends Omit<AppOptions, 'engine'> {
  /** Default false. */
  readonly thinks?: boolean
}

export async function startTinyServer({ thinks = false, ...options }: TinyServerOptions = {}): Promise<TinyServer> {
  const engine = await AsyncEngine.create({
    model: 'octavo-tiny',
    dtype: 'float32',
    ...(thinks && { chatTemplate: thinkingTemplate }),
  })
  const server = await listen(createApp({ engine, version: 'test', ...options }), { host: '127.0.0.1', port: 0 })
  let sent: SentRequest[] = []
  return {
    origin: server.url,
    baseURL: `${server.url}/v1`,
    model: 'octavo-tiny',
    fetch: (url, init) => {
      if (typeof init?.body === 'string') sent.push(JSON.parse(init.body) as SentRequest)
      return fetch(url, init)
    },
    takeSent: () => {
      const taken = sent
      sent = []
      return taken
    },
    async [Symbol.asyncDispose]() {
      await server.close()
      await engine.shutdown()
    },
  }
}
