import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { createApp, type AppOptions } from './app.ts'
import { InFlightRequests } from './in-flight-requests.ts'
import { listen, type RunningServer } from './listen.ts'
import { FakeEngine, type FakeEngineOptions } from './testing/fake-engine.ts'

const servers: RunningServer[] = []
afterEach(async () => {
  for (const one of servers.splice(0)) await one.close()
})

async function serve(options: Partial<AppOptions> = {}, engineOptions: FakeEngineOptions = {}) {
  const engine = new FakeEngine(engineOptions)
  const server = await listen(createApp({ engine, drainTimeoutMs: 0, ...options }), { port: 0 })
  servers.push(server)
  return { engine, server }
}

describe('/ready', () => {
  it('is as /health while the server runs', async () => {
    const engine = new FakeEngine()
    const app = createApp({ engine })
    expect((await app.inject('/ready')).statusCode).toBe(200)
    engine.isDead = true
    expect((await app.inject('/ready')).statusCode).toBe(503)
  })

  it('is off before the server takes no more requests', async () => {
    const { server } = await serve({ drainDelayMs: 400, drainTimeoutMs: 5_000 })
    const statusOf = async (path: string): Promise<number> => (await fetch(server.url + path)).status
    expect(await statusOf('/ready')).toBe(200)
    const closed = server.close()
    await sleep(50)
    expect(await Promise.all(['/ready', '/health', '/v1/models'].map(statusOf))).toEqual([503, 200, 200])
    await closed
    await expect(fetch(`${server.url}/health`)).rejects.toThrow()
  })
})

describe('work in the background', () => {
  it('is waited for, and told when the time is over', async () => {
    const inFlight = new InFlightRequests()
    const [short, long] = [inFlight.openBackground(), inFlight.openBackground()]
    let isDrained = false
    const drained = inFlight.drain(200).then(() => (isDrained = true))
    short.end()
    await sleep(100)
    expect([isDrained, long.signal.aborted]).toEqual([false, false])
    await once(long.signal, 'abort')
    expect(long.signal.reason).toMatchObject({ status: 503 })
    long.end()
    await drained
  })
})

describe('a client that takes nothing', () => {
  it('is disconnected after a while, and its request aborted', async () => {
    const { engine, server } = await serve({ writeTimeoutMs: 300 }, { maxModelLen: 1_000_000, pace: () => sleep(0) })
    const socket = connect(server.port, '127.0.0.1').pause()
    const body = JSON.stringify({ prompt: 'w'.repeat(50_000), max_tokens: 100_000, stream: true })
    socket.write(
      `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    )
    await expect.poll(() => engine.seen[0]?.state, { timeout: 10_000 }).toBe('aborted')
    socket.destroy()
  })

  it('is not who waits for a token', async () => {
    const { server } = await serve({ writeTimeoutMs: 100 }, { pace: () => sleep(500) })
    const response = await fetch(`${server.url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'a b', max_tokens: 2, stream: true }),
    })
    expect(await response.text()).toContain('[DONE]')
  })
})

it('refuses headers beyond the limit', async () => {
  const { server } = await serve({ maxHeaderBytes: 2_000 })
  const headers = { 'x-long': 'x'.repeat(3_000) }
  expect((await fetch(`${server.url}/health`, { headers })).status).toBe(431)
  expect((await fetch(`${server.url}/health`)).status).toBe(200)
})
