import { Agent, request } from 'node:http'

const agent = new Agent({ keepAlive: true, maxSockets: Infinity })

/** What a stream of a completion or a chat came to. */
export interface StreamedAnswer {
  readonly status: number
  readonly text: string
  /** Events that had text. */
  readonly numEvents: number
  readonly finishReason: string | null
  /** It ended with [DONE]. */
  readonly isComplete: boolean
}

export interface ReadOptions {
  /** The client goes away after so many bytes. */
  readonly vanishAfter?: number
  /** Milliseconds to wait before each piece is read. */
  readonly waitMs?: number
}

export interface Target {
  readonly port: number
  readonly path: string
}

/** The body of an answer to a POST, as a client reads it that does nothing else. */
export function readAnswer(
  { port, path }: Target,
  body: object,
  { vanishAfter = Infinity, waitMs = 0 }: ReadOptions = {},
): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    const outgoing = request({ port, path, method: 'POST', headers, agent }, (response) => {
      let text = ''
      const end = (): void => resolve({ status: response.statusCode ?? 0, body: text })
      response.setEncoding('utf8')
      response.on('data', (piece: string) => {
        text += piece
        if (text.length > vanishAfter) {
          response.destroy()
          return end()
        }
        if (waitMs === 0) return
        response.pause()
        setTimeout(() => response.resume(), waitMs)
      })
      response.once('end', end)
      response.once('error', (error) => (text.length > vanishAfter ? end() : reject(error)))
    })
    outgoing.once('error', reject)
    outgoing.end(JSON.stringify(body))
  })
}

export function parseStream({ status, body }: { readonly status: number; readonly body: string }): StreamedAnswer {
  let text = ''
  let numEvents = 0
  let finishReason: string | null = null
  const events = body.split('\n\n').filter((event) => event.startsWith('data: '))
  for (const event of events) {
    if (event === 'data: [DONE]') continue
    const { choices = [] } = JSON.parse(event.slice('data: '.length)) as {
      choices?: { text?: string; delta?: { content?: string | null }; finish_reason?: string | null }[]
    }
    for (const choice of choices) {
      const piece = choice.text ?? choice.delta?.content ?? ''
      if (piece !== '') numEvents++
      text += piece
      finishReason = choice.finish_reason ?? finishReason
    }
  }
  return { status, text, numEvents, finishReason, isComplete: events.at(-1) === 'data: [DONE]' }
}

/** The tokens of a completion, counted by its usage. */
export async function countStreamed(target: Target, body: object): Promise<number> {
  const answer = await readAnswer(target, { ...body, stream_options: { include_usage: true } })
  if (answer.status !== 200) throw new Error(`status ${answer.status}`)
  const usage = /"completion_tokens":(\d+)/.exec(answer.body.slice(answer.body.lastIndexOf('"usage"')))
  return Number(usage?.[1])
}
