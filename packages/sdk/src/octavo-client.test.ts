import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import { afterEach, describe, expect, expectTypeOf, it } from 'vitest'
import { OctavoApiError } from './octavo-api-error.ts'
import type { OctavoClientOptions } from './octavo-client.ts'
import { OctavoClient } from './octavo-client.ts'
import { OctavoConnectionError } from './octavo-connection-error.ts'
import type { ChatCompletion } from './protocol/chat-completion.ts'
import type { ChatCompletionChunk } from './protocol/chat-completion-chunk.ts'

interface Seen {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

type Answer = (response: ServerResponse, seen: Seen) => void | Promise<void>

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})

/** A server that gives the answers in turn, the last one for ever. */
async function serve(answers: Answer[], options: Partial<OctavoClientOptions> = {}) {
  const seen: Seen[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const { method, url, headers } = request
    const entry = { method, url, headers, body }
    seen.push(entry)
    await answers[Math.min(seen.length, answers.length) - 1]?.(response, entry)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return { client: new OctavoClient({ baseUrl: `http://127.0.0.1:${port}/v1/`, ...options }), seen, port }
}

function json(status: number, body: unknown, headers: Record<string, string> = {}): Answer {
  return (response) =>
    void response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

function failure(status: number, headers: Record<string, string> = {}): Answer {
  return json(status, { error: { message: `status ${status}`, type: 'T', param: 'p', code: 'c' } }, headers)
}

const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }
const completion = {
  id: 'chatcmpl-1',
  object: 'chat.completion',
  created: 1,
  model: 'm',
  choices: [{ index: 0, message: { role: 'assistant', content: 'hi' }, logprobs: null, finish_reason: 'stop' }],
  usage,
  extra: 'kept',
}
const chunk = (content: string) => ({
  id: 'chatcmpl-1',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'm',
  choices: [{ index: 0, delta: { content }, finish_reason: null }],
})
const event = (data: unknown): string => `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`
const params = { messages: [{ role: 'user' as const, content: 'hello' }] }

function stream(...parts: string[]): Answer {
  return (response) => void response.writeHead(200, { 'content-type': 'text/event-stream' }).end(parts.join(''))
}

async function contents(chunks: AsyncIterable<ChatCompletionChunk>): Promise<(string | null | undefined)[]> {
  const texts = []
  for await (const { choices } of chunks) texts.push(choices[0]?.delta.content)
  return texts
}

describe('complete answers', () => {
  it('posts the params as they are, with the key, and returns the answer with fields it does not know', async () => {
    const { client, seen } = await serve([json(200, completion)], { apiKey: 'key' })
    const answer = await client.chat.completions.create({ ...params, top_k: 5, temperature: 0 })
    expect(answer).toEqual(completion)
    expect(seen[0]).toMatchObject({
      method: 'POST',
      url: '/v1/chat/completions',
      headers: { authorization: 'Bearer key', 'content-type': 'application/json' },
    })
    expect(JSON.parse(seen[0]?.body ?? '')).toEqual({ ...params, top_k: 5, temperature: 0 })
  })

  it('has the types of the form asked for', async () => {
    const { client } = await serve([json(200, completion)])
    expectTypeOf(await client.chat.completions.create(params)).toEqualTypeOf<ChatCompletion>()
    expectTypeOf(await client.chat.completions.create({ ...params, stream: true })).toEqualTypeOf<
      AsyncIterable<ChatCompletionChunk>
    >()
  })

  it('reaches the other endpoints', async () => {
    const models = { object: 'list', data: [{ id: 'm', object: 'model', created: 1, owned_by: 'octavo' }] }
    const text = {
      id: 'cmpl-1',
      object: 'text_completion',
      created: 1,
      model: 'm',
      choices: [{ index: 0, text: 'x', finish_reason: 'length' }],
      usage,
    }
    const { client, seen } = await serve([
      json(200, models),
      json(200, { version: '1' }),
      json(200, text),
      json(200, {}),
      failure(503),
      failure(500),
    ])
    expect((await client.models.list()).data[0]?.id).toBe('m')
    expect(await client.version()).toEqual({ version: '1' })
    expect((await client.completions.create({ prompt: [1, 2] })).choices[0]?.text).toBe('x')
    expect(await client.health()).toBe(true)
    expect(await client.health()).toBe(false)
    await expect(client.health()).rejects.toThrow('status 500')
    expect(seen.map(({ method, url }) => `${method} ${url}`)).toEqual([
      'GET /v1/models',
      'GET /version',
      'POST /v1/completions',
      'GET /health',
      'GET /health',
      'GET /health',
    ])
  })
})

describe('streams', () => {
  it('yields chunks until [DONE], whatever the packets', async () => {
    const text =
      ': comment\n\n' +
      event(chunk('é😀')) +
      event(chunk('b')).replaceAll('\n', '\r\n') +
      event('[DONE]') +
      event(chunk('after'))
    const { client } = await serve([
      async (response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        for (const byte of Buffer.from(text)) {
          response.write(Buffer.of(byte))
          if (byte === 0x0a) await new Promise((resolve) => setImmediate(resolve))
        }
        response.end()
      },
    ])
    expect(await contents(await client.chat.completions.create({ ...params, stream: true }))).toEqual(['é😀', 'b'])
  })

  it('throws the error that the server reports in the stream', async () => {
    const error = { message: 'broke', type: 'InternalServerError', param: null, code: 500 }
    const { client } = await serve([stream(event(chunk('a')), event({ error }), event('[DONE]'))])
    const chunks = await client.chat.completions.create({ ...params, stream: true })
    const got: unknown[] = []
    const failed = await (async () => {
      for await (const { choices } of chunks) got.push(choices[0]?.delta.content)
    })().catch((reason: unknown) => reason)
    expect(got).toEqual(['a'])
    expect(OctavoApiError.isInstance(failed)).toBe(true)
    expect(failed).toMatchObject({ message: 'broke', status: 500, type: 'InternalServerError', param: null })
  })

  it.each([
    ['ends without [DONE]', stream(event(chunk('a'))), /before its \[DONE\]/],
    [
      'breaks off',
      (response: ServerResponse) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.write(event(chunk('a')), () => response.destroy())
      },
      /connection failed/,
    ],
  ])('is incomplete when it %s', async (_title, answer, message) => {
    const { client } = await serve([answer])
    const failed = await contents(await client.chat.completions.create({ ...params, stream: true })).catch(
      (reason: unknown) => reason,
    )
    expect(OctavoConnectionError.isInstance(failed)).toBe(true)
    expect(String(failed)).toMatch(message)
  })

  it.each([
    ['is no JSON', event('{')],
    ['is of another protocol', event({ choices: 3 })],
  ])('refuses an event that %s', async (_title, text) => {
    const { client } = await serve([stream(text)])
    const failed = await contents(await client.chat.completions.create({ ...params, stream: true })).catch(
      (reason: unknown) => reason,
    )
    expect(failed).toMatchObject({ type: 'InvalidResponseError' })
  })

  /** One chunk, then silence until the client goes. */
  function endless(gone: () => void): Answer {
    return (response) => {
      response.on('close', gone)
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(event(chunk('a')))
    }
  }

  it('closes the connection when the loop is left', async () => {
    const gone = Promise.withResolvers<void>()
    const { client } = await serve([endless(gone.resolve)])
    for await (const _ of await client.chat.completions.create({ ...params, stream: true })) break
    await gone.promise
  })

  it('closes the connection at a signal, and throws its reason', async () => {
    const gone = Promise.withResolvers<void>()
    const { client } = await serve([endless(gone.resolve)])
    const controller = new AbortController()
    const reason = new Error('enough')
    const chunks = await client.chat.completions.create({ ...params, stream: true }, { signal: controller.signal })
    const failed = await (async () => {
      for await (const _ of chunks) controller.abort(reason)
    })().catch((error: unknown) => error)
    expect(failed).toBe(reason)
    await gone.promise
  })

  it('may take longer than the timeout once it has begun', async () => {
    const { client } = await serve(
      [
        async (response) => {
          response.writeHead(200, { 'content-type': 'text/event-stream' })
          response.write(event(chunk('a')))
          await new Promise((resolve) => setTimeout(resolve, 400))
          response.end(event(chunk('b')) + event('[DONE]'))
        },
      ],
      { timeoutMs: 200 },
    )
    expect(await contents(await client.chat.completions.create({ ...params, stream: true }))).toEqual(['a', 'b'])
  })
})

describe('failures', () => {
  it('become typed errors with all that the server says', async () => {
    const { client } = await serve([failure(400, { 'x-request-id': 'r-1' })])
    const failed = await client.chat.completions.create(params).catch((error: unknown) => error)
    expect(OctavoApiError.isInstance(failed)).toBe(true)
    expect(failed).toMatchObject({
      name: 'OctavoApiError',
      message: 'status 400',
      status: 400,
      type: 'T',
      param: 'p',
      code: 'c',
      requestId: 'r-1',
    })
  })

  it('say so when the answer is not of the protocol', async () => {
    const { client } = await serve([
      json(200, { hello: 1 }),
      (response) => void response.end('<html>'),
      (response) => void response.writeHead(502).end('bad gateway'),
    ])
    await expect(client.chat.completions.create(params)).rejects.toThrow(/not of Octavo's protocol: id/)
    await expect(client.chat.completions.create(params)).rejects.toThrow(/not JSON/)
    await expect(client.chat.completions.create(params)).rejects.toMatchObject({
      status: 502,
      message: expect.stringContaining('bad gateway'),
    })
  })

  it.each([429, 503])('with status %i are tried again, after Retry-After', async (status) => {
    const { client, seen } = await serve([
      failure(status, { 'retry-after': '0' }),
      failure(status, { 'retry-after': '0' }),
      json(200, completion),
    ])
    expect(await client.chat.completions.create(params)).toEqual(completion)
    expect(seen).toHaveLength(3)
  })

  it('are tried again when the connection breaks before the answer', async () => {
    const { client, seen } = await serve([
      (response) => void response.destroy(),
      stream(event(chunk('a')), event('[DONE]')),
    ])
    expect(await contents(await client.chat.completions.create({ ...params, stream: true }))).toEqual(['a'])
    expect(seen).toHaveLength(2)
  })

  it('are tried maxRetries times at most', async () => {
    const { client, seen } = await serve([failure(503, { 'retry-after': '0' })], { maxRetries: 1 })
    await expect(client.models.list()).rejects.toMatchObject({ status: 503 })
    expect(seen).toHaveLength(2)
  })

  it.each([400, 401, 404, 500])('with status %i are final', async (status) => {
    const { client, seen } = await serve([failure(status)])
    await expect(client.models.list()).rejects.toMatchObject({ status })
    expect(seen).toHaveLength(1)
  })

  it('after the first byte are final', async () => {
    const { client, seen } = await serve([
      (response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' })
        response.write('{', () => response.destroy())
      },
    ])
    await expect(client.models.list()).rejects.toBeInstanceOf(OctavoConnectionError)
    expect(seen).toHaveLength(1)
  })

  it('name the system reason when nobody listens', async () => {
    const { port, client: _unused } = await serve([])
    for (const cleanup of cleanups.splice(0)) cleanup()
    const client = new OctavoClient({ baseUrl: `http://127.0.0.1:${port}`, maxRetries: 0 })
    await expect(client.version()).rejects.toThrow(
      /GET http:\/\/127\.0\.0\.1:\d+\/version: the connection failed \(ECONNREFUSED\)/,
    )
  })

  it('name the timeout, and are not tried again', async () => {
    const { client, seen } = await serve([() => undefined], { timeoutMs: 50 })
    const failed = await client.models.list().catch((error: unknown) => error)
    expect(failed).toMatchObject({ name: 'OctavoConnectionError', isTimeout: true })
    expect(String(failed)).toContain('no answer within 50 ms')
    expect(seen).toHaveLength(1)
  })

  it("are the caller's own reason after its signal, also while waiting to try again", async () => {
    const reason = new Error('enough')
    const { client } = await serve([failure(503, { 'retry-after': '8' })])
    await expect(client.models.list({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const controller = new AbortController()
    const call = client.models.list({ signal: controller.signal })
    setTimeout(() => controller.abort(reason), 50)
    await expect(call).rejects.toBe(reason)
  })
})
