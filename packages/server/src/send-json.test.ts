import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Completion } from '@octavo/sdk/protocol'
import { afterEach, describe, expect, it } from 'vitest'
import type { AppOptions } from './app.ts'
import { createApp } from './app.ts'
import { toFetchHandler } from './fetch-handler.ts'
import type { RunningServer } from './listen.ts'
import { listen } from './listen.ts'
import { maxHeldBytes } from './send-json.ts'
import { FakeEngine } from './testing/fake-engine.ts'

const cleanups: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

async function serve(engine: FakeEngine, options: Partial<AppOptions> = {}): Promise<RunningServer> {
  const server = await listen(createApp({ engine, drainTimeoutMs: 0, ...options }), { port: 0 })
  cleanups.push(() => server.close())
  return server
}

const words = Array.from({ length: 500 }, (_, i) => ` word${i}`)
/** Some 200 KB a choice. */
const bodyOf = (n: number, more: object = {}): string =>
  JSON.stringify({ prompt: words.join(''), n, seed: 0, max_tokens: 2, echo: true, logprobs: 20, ...more })
const newEngine = () => new FakeEngine({ maxModelLen: 1000 })
const headers = { 'content-type': 'application/json' }
const ask = ({ url }: RunningServer, body: string) => fetch(`${url}/v1/completions`, { method: 'POST', headers, body })

/** Fails when so many parts were read. */
class FailingEngine extends FakeEngine {
  override async *generate(...[request, signal]: Parameters<FakeEngine['generate']>) {
    for await (const output of super.generate(request, signal)) {
      if (this.numPartsRead === 30) throw new Error('inside')
      yield output
    }
  }
}

describe('a large answer', () => {
  it('goes out in chunks, and is the same as choices that are asked for one by one', async () => {
    const server = await serve(newEngine())
    const response = await ask(server, bodyOf(12))
    expect(response.headers.get('content-length')).toBeNull()
    expect(response.headers.get('transfer-encoding')).toBe('chunked')
    expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(response.headers.get('x-request-id')).toEqual(expect.any(String))
    const text = await response.text()
    expect(text.length).toBeGreaterThan(maxHeldBytes)
    const { choices, usage } = JSON.parse(text) as Completion
    expect(usage).toMatchObject({ prompt_tokens: 500, completion_tokens: 24, total_tokens: 524 })
    for (const [index, choice] of choices.entries()) {
      const small = await ask(server, bodyOf(1, { seed: index }))
      expect(Number(small.headers.get('content-length'))).toBeGreaterThan(0)
      expect({ ...choice, index: 0 }).toEqual(((await small.json()) as Completion).choices[0])
    }
  })

  it('is made no further than the client reads, and no more of it once the client is gone', async () => {
    const [engine, n] = [newEngine(), 256]
    const server = await serve(engine)
    const body = bodyOf(n)
    const socket = connect(server.port, '127.0.0.1')
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    const head = `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`
    socket.write(`${head}Content-Length: ${body.length}\r\n\r\n${body}`)
    await once(socket, 'readable')
    let last = -1
    while (engine.numPartsRead !== last) {
      last = engine.numPartsRead
      await sleep(300)
    }
    expect(last).toBeLessThan(n)
    socket.destroy()
    await sleep(300)
    // One sample more may be on its way.
    expect(engine.numPartsRead).toBeLessThanOrEqual(last + 4)
  })

  it('that fails in its middle breaks the connection, and the log says why', async () => {
    const lines: string[] = []
    const push = (line: string): void => void lines.push(line)
    const logger = { debug: push, info: push, warn: push, error: push }
    const response = await ask(await serve(new FailingEngine({ maxModelLen: 1000 }), { logger }), bodyOf(64))
    expect(response.status).toBe(200)
    await expect(response.text()).rejects.toThrow('terminated')
    expect(lines.join('\n')).toMatch(/request \S+ failed: Error/)
    expect(lines.join('\n')).not.toContain('inside')
  })

  it('that fails in its middle breaks the body of a Response, too', async () => {
    const handler = toFetchHandler(createApp({ engine: new FailingEngine({ maxModelLen: 1000 }) }))
    const request = new Request('http://localhost/v1/completions', { method: 'POST', headers, body: bodyOf(64) })
    await expect((await handler(request)).text()).rejects.toThrow()
  })

  it('that fails before it is large is an error', async () => {
    const body = bodyOf(64, { echo: false, logprobs: null })
    const response = await ask(await serve(new FailingEngine({ maxModelLen: 1000 })), body)
    expect([response.status, await response.json()]).toMatchObject([500, { error: { code: 500 } }])
  })
})
