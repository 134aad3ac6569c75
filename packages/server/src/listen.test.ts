import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { InvalidConfigError } from '@octavo/core'
import type { AppOptions } from './app.ts'
import { createApp } from './app.ts'
import type { RunningServer } from './listen.ts'
import { checkAddress, listen } from './listen.ts'
import type { FakeEngineOptions } from './testing/fake-engine.ts'
import { FakeEngine } from './testing/fake-engine.ts'

const cleanups: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

async function serve(
  engineOptions: FakeEngineOptions = {},
  options: Partial<AppOptions> = {},
): Promise<{ engine: FakeEngine; server: RunningServer }> {
  const engine = new FakeEngine(engineOptions)
  const server = await listen(createApp({ engine, version: '0', drainTimeoutMs: 0, ...options }), { port: 0 })
  cleanups.push(() => server.close())
  return { engine, server }
}

async function open({ port }: RunningServer): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  cleanups.push(() => void socket.destroy())
  await once(socket, 'connect')
  return socket
}

function head(length: number | 'chunked'): string {
  const framing = length === 'chunked' ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`
  return `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${framing}\r\n\r\n`
}

/** What comes until the text has the marker. */
async function readUntil(socket: Socket, marker: string): Promise<string> {
  let text = ''
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    text += String(chunk)
    if (text.includes(marker)) return text
  }
  return text
}

function postJson({ url }: RunningServer, body: object, signal?: AbortSignal): Promise<Response> {
  return fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: signal ?? null,
  })
}

/** A pace that lets tokens through until the gate is shut. */
class Gate {
  readonly #after: number
  readonly reached = Promise.withResolvers<void>()
  readonly #opened = Promise.withResolvers<void>()

  constructor(after: number) {
    this.#after = after
  }

  readonly pace = async (step: number): Promise<void> => {
    if (step < this.#after) return
    this.reached.resolve()
    await this.#opened.promise
  }

  open(): void {
    this.#opened.resolve()
  }
}

describe('hostile and broken bodies', () => {
  it('refuses a body of 100 MB by its announced length, before the body is sent', async () => {
    const { engine, server } = await serve()
    const socket = await open(server)
    socket.write(head(100_000_000) + '{"prompt":"')
    const answer = await readUntil(socket, '}}')
    expect(answer).toMatch(/^HTTP\/1\.1 413 /)
    expect(answer).toContain('"code":413')
    expect(engine.seen).toHaveLength(0)
  })

  it('lets a client that sends all of it anyway read the 413, and the next request be served', async () => {
    const { server } = await serve({}, { bodyLimit: 1_000_000 })
    const socket = await open(server)
    const body = Buffer.alloc(20_000_000, 0x20)
    socket.write(head(body.length))
    socket.write(body)
    expect(await readUntil(socket, '}}')).toMatch(/^HTTP\/1\.1 413 /)
    const next = JSON.stringify({ prompt: 'a b', max_tokens: 1 })
    socket.write(head(next.length) + next)
    expect(await readUntil(socket, '}}')).toMatch(/^HTTP\/1\.1 200 /)
  })

  it('refuses a chunked body as soon as it is over the limit, before it ends', async () => {
    const { server } = await serve({}, { bodyLimit: 1000 })
    const socket = await open(server)
    socket.write(`${head('chunked')}7d0\r\n${' '.repeat(2000)}\r\n`)
    expect(await readUntil(socket, '}}')).toMatch(/^HTTP\/1\.1 413 /)
    socket.write('0\r\n\r\n')
    const next = JSON.stringify({ prompt: 'a b', max_tokens: 1 })
    socket.write(head(next.length) + next)
    expect(await readUntil(socket, '}}')).toMatch(/^HTTP\/1\.1 200 /)
  })

  it('refuses invalid UTF-8 and broken JSON, and serves the next on the same connection', async () => {
    const { server } = await serve()
    const socket = await open(server)
    for (const bad of [Buffer.from([0x7b, 0xc3, 0x28, 0x7d]), Buffer.from('{"prompt"')]) {
      socket.write(Buffer.concat([Buffer.from(head(bad.length)), bad]))
      expect(await readUntil(socket, '}}')).toMatch(/^HTTP\/1\.1 400 /)
    }
    const next = JSON.stringify({ prompt: 'ä 😀', max_tokens: 2 })
    socket.write(head(Buffer.byteLength(next)) + next)
    expect(await readUntil(socket, '}}')).toContain('"text":"ä 😀"')
  })

  it('answers bytes that are not HTTP in the same shape', async () => {
    const { server } = await serve()
    const socket = await open(server)
    socket.write('hello\r\n\r\n')
    const answer = await readUntil(socket, '}}')
    expect(answer).toMatch(/^HTTP\/1\.1 400 /)
    expect(answer).toContain('"type":"BadRequestError"')
  })
})

describe('a client that leaves', () => {
  it.each([true, false])('has its request aborted (stream: %s)', async (stream) => {
    const gate = new Gate(2)
    const { engine, server } = await serve({ pace: gate.pace })
    const controller = new AbortController()
    const call = postJson(server, { prompt: 'a b', max_tokens: 100, stream }, controller.signal)
    await gate.reached.promise
    controller.abort()
    await call.then((response) => response.text()).catch(() => undefined)
    await expect.poll(() => engine.seen[0]?.state).toBe('aborted')
    expect(engine.seen[0]?.numTokens).toBe(2)
  })

  it('has all its prompts aborted', async () => {
    const gate = new Gate(1)
    const { engine, server } = await serve({ pace: gate.pace })
    const controller = new AbortController()
    const call = postJson(server, { prompt: ['a', 'b', 'c'], max_tokens: 100, stream: true }, controller.signal)
    await gate.reached.promise
    await expect.poll(() => engine.seen.length).toBe(3)
    controller.abort()
    await call.then((response) => response.text()).catch(() => undefined)
    await expect.poll(() => engine.seen.map(({ state }) => state)).toEqual(['aborted', 'aborted', 'aborted'])
  })

  it('slows the engine when it reads slowly, and aborts it when it goes', async () => {
    const { engine, server } = await serve({
      maxModelLen: 1_000_000,
      pace: () => new Promise((resolve) => setImmediate(resolve)),
    })
    const socket = await open(server)
    socket.pause()
    const body = JSON.stringify({ prompt: 'w'.repeat(20_000), max_tokens: 100_000, stream: true })
    socket.write(head(body.length) + body)
    // The socket buffers of both sides hold some megabytes, that is, a few hundred of these tokens.
    await expect.poll(() => engine.seen[0]?.numTokens ?? 0).toBeGreaterThan(5)
    let before = -1
    await expect
      .poll(
        () => {
          const previous = before
          before = engine.seen[0]?.numTokens ?? 0
          return before === previous
        },
        { interval: 200, timeout: 20_000 },
      )
      .toBe(true)
    expect(before).toBeLessThan(5_000)
    socket.destroy()
    await expect.poll(() => engine.seen[0]?.state).toBe('aborted')
  })
})

describe('checkAddress', () => {
  it('refuses what listen would, and holds nothing', async () => {
    const { server } = await serve()
    await expect(checkAddress({ port: server.port })).rejects.toThrow('is already in use on 127.0.0.1')
    await expect(checkAddress({ host: '192.0.2.1', port: 0 })).rejects.toThrow('host: 192.0.2.1 is not an address')
    await server.close()
    await checkAddress({ port: server.port })
    const next = await listen(createApp({ engine: new FakeEngine(), version: '0' }), { port: server.port })
    await next.close()
  })
})

describe('listen', () => {
  it('names the port and the remedy when the port is taken', async () => {
    const { server } = await serve()
    const second = createApp({ engine: new FakeEngine(), version: '0' })
    const failure: unknown = await listen(second, { port: server.port }).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(InvalidConfigError)
    expect(String(failure)).toContain(`port: ${server.port} is already in use on 127.0.0.1`)
    expect(String(failure)).toContain('choose another port')
  })

  it('explains a port and a host that cannot be', async () => {
    const app = () => createApp({ engine: new FakeEngine(), version: '0' })
    await expect(listen(app(), { port: 70_000 })).rejects.toThrow(/port: .*65535, got 70000/)
    await expect(listen(app(), { host: '192.0.2.1', port: 0 })).rejects.toThrow(
      /host: 192\.0\.2\.1 is not an address of this machine/,
    )
  })
})

describe('close', () => {
  it('lets a running request finish, takes no new ones, and frees the port though sockets are kept alive', async () => {
    const gate = new Gate(2)
    const { server } = await serve({ pace: gate.pace }, { drainTimeoutMs: 20_000 })
    // One socket that never asked anything, one that asked and keeps its connection.
    await open(server)
    const idle = await open(server)
    idle.write('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await readUntil(idle, '\r\n\r\n')
    const running = postJson(server, { prompt: 'a b', max_tokens: 4, stream: true })
    await gate.reached.promise
    const closed = server.close()
    await expect
      .poll(() =>
        fetch(`${server.url}/health`).then(
          () => 'served',
          () => 'refused',
        ),
      )
      .toBe('refused')
    gate.open()
    const text = await (await running).text()
    expect(text).toContain('"finish_reason":"length"')
    expect(text).toContain('[DONE]')
    await closed
    const again = await listen(createApp({ engine: new FakeEngine(), version: '0' }), { port: server.port })
    await again.close()
  })

  it.each([true, false])('aborts what runs beyond the timeout, with a clear end (stream: %s)', async (stream) => {
    const gate = new Gate(2)
    const { engine, server } = await serve({ pace: gate.pace }, { drainTimeoutMs: 50 })
    const running = postJson(server, { prompt: 'a b', max_tokens: 100, stream })
    await gate.reached.promise
    const closed = server.close()
    const response = await running
    expect(response.status).toBe(stream ? 200 : 503)
    expect(await response.text()).toContain('The server is shutting down')
    await closed
    expect(engine.seen[0]?.state).toBe('aborted')
  })

  it('refuses a request that comes over an open connection while it drains', async () => {
    const gate = new Gate(0)
    const { server } = await serve({ pace: gate.pace }, { drainTimeoutMs: 20_000 })
    const socket = await open(server)
    const running = postJson(server, { prompt: 'a b', max_tokens: 1 })
    await gate.reached.promise
    // Half a request: the connection is not idle, so it survives the beginning of the drain.
    socket.write('GET /v1/models HTTP/1.1\r\nHost: localhost\r\n')
    const closed = server.close()
    await expect
      .poll(() =>
        fetch(`${server.url}/health`).then(
          () => 'served',
          () => 'refused',
        ),
      )
      .toBe('refused')
    socket.write('\r\n')
    expect(await readUntil(socket, '}}')).toMatch(/^HTTP\/1\.1 503 /)
    gate.open()
    expect((await running).status).toBe(200)
    await closed
  })
})
