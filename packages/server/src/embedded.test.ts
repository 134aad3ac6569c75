import { once } from 'node:events'
import { createServer } from 'node:http'
import type { RequestListener } from 'node:http'
import express from 'express'
import Fastify from 'fastify'
import { Hono } from 'hono'
import { afterEach, describe, expect, it } from 'vitest'
import { createApp } from './app.ts'
import { toFetchHandler } from './fetch-handler.ts'
import { toNodeHandler } from './node-handler.ts'
import type { OctavoPluginOptions } from './plugin.ts'
import { octavoPlugin } from './plugin.ts'
import { FakeEngine } from './testing/fake-engine.ts'
import { readEvents } from './testing/read-events.ts'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

async function listenNode(handler: RequestListener): Promise<(path: string, init?: RequestInit) => Promise<Response>> {
  const server = createServer(handler).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanups.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return (path, init) => fetch(`http://127.0.0.1:${port}${path}`, init)
}

interface Host {
  readonly prefix: string
  readonly call: (path: string, init?: RequestInit) => Promise<Response>
}

type Options = Omit<OctavoPluginOptions, 'engine'>

/** Each a program of another kind with something of its own, and Octavo in it. */
const hosts: Record<string, (engine: FakeEngine, options?: Options) => Promise<Host>> = {
  async 'a Fastify app, under a prefix'(engine, options) {
    const app = Fastify()
    app.get('/own', async () => ({ own: true }))
    await app.register(octavoPlugin, { engine, prefix: '/llm', ...options })
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    cleanups.push(() => app.close())
    return { prefix: '/llm', call: (path, init) => fetch(`${url}${path}`, init) }
  },
  async Express(engine, options) {
    const program = express()
    program.get('/own', (_request, response) => void response.json({ own: true }))
    program.use('/llm', toNodeHandler(createApp({ engine, ...options })))
    return { prefix: '/llm', call: await listenNode(program) }
  },
  async 'Express behind express.json()'(engine, options) {
    const program = express()
    program.use(express.json({ limit: '20mb' }))
    program.get('/own', (_request, response) => void response.json({ own: true }))
    program.use('/llm', toNodeHandler(createApp({ engine, ...options })))
    return { prefix: '/llm', call: await listenNode(program) }
  },
  async 'node:http'(engine, options) {
    const handler = toNodeHandler(createApp({ engine, ...options }))
    const call = await listenNode((request, response) => {
      if (request.url === '/own') response.end('{"own":true}')
      else handler(request, response)
    })
    return { prefix: '', call }
  },
  async Hono(engine, options) {
    const program = new Hono()
    program.get('/own', (context) => context.json({ own: true }))
    program.mount('/llm', toFetchHandler(createApp({ engine, ...options })))
    return { prefix: '/llm', call: async (path, init) => program.fetch(new Request(`http://localhost${path}`, init)) }
  },
}

const json = { 'content-type': 'application/json' }
const post = (body: object, more: RequestInit = {}): RequestInit => ({
  method: 'POST',
  headers: json,
  body: JSON.stringify(body),
  ...more,
})
const slowly = () => new Promise<void>((resolve) => setTimeout(resolve, 2))

describe.each(Object.entries(hosts))('in %s', (_name, start) => {
  it('answers, complete and streamed, and leaves the rest to the program', async () => {
    const { call, prefix } = await start(new FakeEngine())
    const body = { prompt: 'ä 😀 "c"', max_tokens: 4 }
    const whole = await call(`${prefix}/v1/completions`, post(body))
    expect(whole.status).toBe(200)
    expect(await whole.json()).toMatchObject({ choices: [{ text: 'ä 😀 "c"ä' }] })
    const streamed = await call(`${prefix}/v1/completions`, post({ ...body, stream: true }))
    expect(streamed.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    const events = readEvents(await streamed.text()) as { choices: { text: string }[] }[]
    expect(events.at(-1)).toBe('[DONE]')
    expect(
      events
        .slice(0, -1)
        .map(({ choices }) => choices[0]?.text)
        .join(''),
    ).toBe('ä 😀 "c"ä')
    expect((await call(`${prefix}/health`)).status).toBe(200)
    expect(await (await call(`${prefix}/v1/models`)).json()).toMatchObject({ data: [{ id: 'fake' }] })
    expect(await (await call('/own')).json()).toEqual({ own: true })
  })

  it('sends events as they come, and aborts the work when the client goes', async () => {
    const engine = new FakeEngine({ maxModelLen: 100_000, pace: slowly })
    const { call, prefix } = await start(engine)
    const gone = new AbortController()
    const body = { prompt: 'a b', max_tokens: 90_000, stream: true }
    const response = await call(`${prefix}/v1/completions`, post(body, { signal: gone.signal }))
    const reader = response.body!.getReader()
    expect(new TextDecoder().decode((await reader.read()).value)).toContain('"text":"a"')
    gone.abort()
    await reader.cancel().catch(() => undefined)
    await expect.poll(() => engine.seen[0]?.state).toBe('aborted')
    expect(engine.seen[0]?.numTokens).toBeLessThan(10_000)
  })

  it('aborts the work of a complete answer, too', async () => {
    const engine = new FakeEngine({ maxModelLen: 100_000, pace: slowly })
    const { call, prefix } = await start(engine)
    const gone = new AbortController()
    const body = { prompt: 'a b', max_tokens: 90_000 }
    const answer = call(`${prefix}/v1/completions`, post(body, { signal: gone.signal })).catch(() => undefined)
    await expect.poll(() => engine.seen[0]?.numTokens ?? 0).toBeGreaterThan(2)
    gone.abort()
    await answer
    await expect.poll(() => engine.seen[0]?.state).toBe('aborted')
  })

  it('has its own errors in its own shape, and its own limits', async () => {
    const { call, prefix } = await start(new FakeEngine(), { bodyLimit: 10_000, apiKeys: ['key'] })
    const headers = { ...json, authorization: 'Bearer key' }
    const wrong = await call(`${prefix}/v1/completions`, post({ prompt: 'a', temperature: 9 }, { headers }))
    expect(wrong.status).toBe(400)
    expect(await wrong.json()).toMatchObject({ error: { param: 'temperature', code: 400 } })
    const large = await call(`${prefix}/v1/completions`, post({ prompt: 'a'.repeat(20_000) }, { headers }))
    expect(large.status).toBe(413)
    const unknown = await call(`${prefix}/v1/nothing`, { headers })
    expect(unknown.status).toBe(404)
    expect(await unknown.text()).toContain('the nearest endpoint is')
    expect((await call(`${prefix}/v1/completions`, post({ prompt: 'a' }))).status).toBe(401)
  })

  it('asks the program who may call, and keeps the prefix caches of its tenants apart', async () => {
    const engine = new FakeEngine()
    const authenticate = async ({ headers }: { headers: Record<string, string | string[] | undefined> }) => {
      const user = headers['x-user']
      return typeof user === 'string' ? { tenant: user.split('@')[1] ?? null } : null
    }
    const { call, prefix } = await start(engine, { authenticate })
    for (const user of ['ann@acme', 'bob@acme', 'eve@other']) {
      const init = post({ prompt: 'a', max_tokens: 1 }, { headers: { ...json, 'x-user': user } })
      expect((await call(`${prefix}/v1/completions`, init)).status).toBe(200)
    }
    expect((await call(`${prefix}/v1/completions`, post({ prompt: 'a' }))).status).toBe(401)
    const [ann, bob, eve] = engine.seen.map(({ request }) => request.cacheSalt)
    expect(ann).toBe(bob)
    expect(ann).not.toBe(eve)
    expect([ann, eve].join(' ')).not.toMatch(/acme|other/)
  })
})

describe('in a Fastify app', () => {
  it('leaves the parsers, errors and unknown paths of the program alone', async () => {
    const app = Fastify()
    await app.register(octavoPlugin, { engine: new FakeEngine(), prefix: '/llm' })
    app.post('/own', (request) => ({ got: request.body }))
    app.get('/fails', () => {
      throw new Error('mine')
    })
    const text = await app.inject({
      method: 'POST',
      url: '/own',
      payload: 'plain',
      headers: { 'content-type': 'text/plain' },
    })
    expect(text.json()).toEqual({ got: 'plain' })
    expect((await app.inject('/fails')).json()).toMatchObject({ message: 'mine', statusCode: 500 })
    expect((await app.inject('/nothing')).json()).toMatchObject({ message: 'Route GET:/nothing not found' })
    expect((await app.inject('/llm/version')).json().version).toMatch(/^\d+\.\d+/)
  })

  it('serves two engines under two prefixes, and without a prefix', async () => {
    const app = Fastify()
    await app.register(octavoPlugin, { engine: new FakeEngine({ models: ['x'] }), prefix: '/x' })
    await app.register(octavoPlugin, { engine: new FakeEngine({ models: ['y'] }) })
    expect((await app.inject('/x/v1/models')).json().data[0].id).toBe('x')
    expect((await app.inject('/v1/models')).json().data[0].id).toBe('y')
  })

  it('lets running requests end when the program closes, up to the timeout', async () => {
    const engine = new FakeEngine({ maxModelLen: 100_000, pace: slowly })
    const app = Fastify()
    await app.register(octavoPlugin, { engine, prefix: '/llm', drainTimeoutMs: 20 })
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    const running = fetch(`${url}/llm/v1/completions`, post({ prompt: 'a b', max_tokens: 90_000, stream: true }))
    await expect.poll(() => engine.seen[0]?.numTokens ?? 0).toBeGreaterThan(2)
    const closed = app.close()
    expect(await (await running).text()).toContain('The server is shutting down')
    await closed
    expect(engine.seen[0]?.state).toBe('aborted')
  })
})

describe('toNodeHandler', () => {
  it.each([
    ['express.text()', express.text({ type: 'application/json' })],
    ['express.raw()', express.raw({ type: 'application/json' })],
  ])('takes the body as %s leaves it', async (_name, middleware) => {
    const program = express()
    program.use(middleware)
    program.use(toNodeHandler(createApp({ engine: new FakeEngine() })))
    const call = await listenNode(program)
    const response = await call('/v1/completions', post({ prompt: 'a b', max_tokens: 2 }))
    expect(await response.json()).toMatchObject({ choices: [{ text: 'a b' }] })
  })

  it('says so where something else read the body and kept nothing', async () => {
    const handler = toNodeHandler(createApp({ engine: new FakeEngine() }))
    const call = await listenNode(async (request, response) => {
      for await (const _ of request);
      handler(Object.assign(request, { body: undefined }), response)
    })
    const response = await call('/v1/completions', post({ prompt: 'a b' }))
    expect(response.status).toBe(500)
    expect(await response.text()).toContain('read the body')
  })
})

describe('toFetchHandler', () => {
  it('refuses a Request whose body is gone, and a method that HTTP does not have', async () => {
    const handle = toFetchHandler(createApp({ engine: new FakeEngine() }))
    const request = new Request('http://localhost/v1/completions', post({ prompt: 'a' }))
    await request.text()
    await expect(handle(request)).rejects.toThrow(/clone/)
    expect((await handle(new Request('http://localhost/health', { method: 'NOSUCH' }))).status).toBe(501)
    expect((await handle(new Request('http://localhost/health', { method: 'HEAD' }))).status).toBe(200)
  })

  it('does not run ahead of a reader that stopped reading', async () => {
    const engine = new FakeEngine({
      maxModelLen: 1_000_000,
      pace: () => new Promise((resolve) => setImmediate(resolve)),
    })
    const handle = toFetchHandler(createApp({ engine }))
    const body = { prompt: 'w'.repeat(20_000), max_tokens: 100_000, stream: true }
    const response = await handle(new Request('http://localhost/v1/completions', post(body)))
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(engine.seen[0]?.numTokens).toBeLessThan(50)
    await response.body!.cancel()
    await expect.poll(() => engine.seen[0]?.state).toBe('aborted')
  })
})
