import type { EngineMetrics } from '@octavo/core'
import { EngineDeadError } from '@octavo/core'
import { describe, expect, it } from 'vitest'
import { createApp } from '../app.ts'
import { toFetchHandler } from '../fetch-handler.ts'
import { FakeEngine } from '../testing/fake-engine.ts'

/** Computes so many sequences at once; who comes later waits. */
class BusyEngine extends FakeEngine {
  constructor(pace: () => Promise<void>) {
    super({ pace })
  }

  override metrics(): EngineMetrics {
    const numSeqs = this.seen.filter(({ state }) => state === 'running').length
    const generationTokens = this.seen.reduce((sum, { numTokens }) => sum + numTokens, 0)
    const counters = {
      numRunningSeqs: Math.min(2, numSeqs),
      numWaitingSeqs: Math.max(0, numSeqs - 2),
      generationTokens,
    }
    return counters as EngineMetrics // what the server reads of them
  }
}

const complete = (app: ReturnType<typeof createApp>, body: object = {}, key = '') =>
  app.inject({
    method: 'POST',
    url: '/v1/completions',
    headers: { 'x-api-key': key },
    payload: { prompt: 'a b', max_tokens: 2, ...body },
  })

const embed = (app: ReturnType<typeof createApp>, input: readonly string[], key = '') =>
  app.inject({ method: 'POST', url: '/v1/embeddings', headers: { 'x-api-key': key }, payload: { input } })

const fetchCompletion = (app: ReturnType<typeof createApp>, signal: AbortSignal) =>
  toFetchHandler(app)(
    new Request('http://localhost/v1/completions', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'a' }),
      signal,
    }),
  )

describe('a full queue', () => {
  it.each([true, false])(
    'is answered with 503 and when to come again, and takes the next when one has left (stream: %s)',
    async (stream) => {
      const gate = Promise.withResolvers<void>()
      const engine = new BusyEngine(() => gate.promise)
      const app = createApp({ engine, maxQueuedSeqs: 2, maxNumSeqs: 2 })
      const held = Array.from({ length: 4 }, () => complete(app, { stream }))
      await expect.poll(() => engine.seen.length).toBe(4)
      const refused = await complete(app, { stream })
      expect(refused.statusCode).toBe(503)
      expect(refused.json().error).toMatchObject({
        type: 'ServiceUnavailableError',
        message: expect.stringContaining('2 sequences wait for the model, and no more than 2 may (maxQueuedSeqs)'),
      })
      expect(refused.headers).toMatchObject({ 'retry-after': '1', 'retry-after-ms': '1000' })
      gate.resolve()
      expect((await Promise.all(held)).map(({ statusCode }) => statusCode)).toEqual([200, 200, 200, 200])
      expect((await complete(app, { stream })).statusCode).toBe(200)
    },
  )

  it('counts samples; a request that is larger than all of it is taken when nothing else is there', async () => {
    const gate = Promise.withResolvers<void>()
    const engine = new BusyEngine(() => gate.promise)
    const app = createApp({ engine, maxQueuedSeqs: 1, maxNumSeqs: 2 })
    const held = complete(app, { n: 8 })
    await expect.poll(() => engine.seen.length).toBe(1)
    expect((await complete(app)).statusCode).toBe(503)
    gate.resolve()
    expect((await held).statusCode).toBe(200)
  })

  it('is open again after clients that left', async () => {
    const engine = new BusyEngine(() => new Promise(() => {}))
    const app = createApp({ engine, maxQueuedSeqs: 0, maxNumSeqs: 1, drainTimeoutMs: 0 })
    const controller = new AbortController()
    const held = fetchCompletion(app, controller.signal)
    await expect.poll(() => engine.seen.length).toBe(1)
    expect((await complete(app)).statusCode).toBe(503)
    controller.abort()
    void held.catch(() => undefined)
    await expect.poll(() => engine.seen[0]?.state).toBe('aborted')
    void complete(app)
    await expect.poll(() => engine.seen.length).toBe(2)
    await app.close()
  })

  it('leaves room for other keys', async () => {
    const gate = Promise.withResolvers<void>()
    const engine = new BusyEngine(() => gate.promise)
    const app = createApp({ engine, maxQueuedSeqs: 6, maxNumSeqs: 2, apiKeys: ['greedy', 'modest'] })
    const modest = complete(app, {}, 'modest')
    await expect.poll(() => engine.seen.length).toBe(1)
    const greedy = Array.from({ length: 20 }, () => complete(app, {}, 'greedy'))
    await expect.poll(() => engine.seen.length).toBeGreaterThanOrEqual(6)
    // 8 places for two keys, once half of the 6 that may wait are taken.
    const again = await complete(app, {}, 'greedy')
    expect([again.statusCode, again.json().error.code]).toEqual([429, 'rate_limit_exceeded'])
    const modests = [complete(app, {}, 'modest'), complete(app, {}, 'modest')]
    await expect.poll(() => engine.seen.length).toBe(8)
    gate.resolve()
    expect((await Promise.all([modest, ...modests])).map(({ statusCode }) => statusCode)).toEqual([200, 200, 200])
    const statuses = (await Promise.all(greedy)).map(({ statusCode }) => statusCode)
    expect(statuses.filter((status) => status === 200)).toHaveLength(5)
    expect(statuses.filter((status) => status === 429)).toHaveLength(15)
  })

  it('takes or refuses all prompts of a request together, embeddings too', async () => {
    const gate = Promise.withResolvers<void>()
    const engine = new BusyEngine(() => gate.promise)
    const app = createApp({ engine, maxQueuedSeqs: 1, maxNumSeqs: 2 })
    const held = complete(app, { prompt: ['a', 'b', 'c', 'd', 'e', 'f'] })
    await expect.poll(() => engine.seen.length).toBe(6)
    expect((await complete(app, { prompt: ['g', 'h'] })).statusCode).toBe(503)
    expect((await embed(app, ['a'])).statusCode).toBe(503)
    gate.resolve()
    expect((await held).json().choices).toHaveLength(6)
    const vectors = await embed(
      app,
      Array.from({ length: 20 }, () => 'a'),
    )
    expect(vectors.json().data).toHaveLength(20)
  })

  it('needs to know what runs at once', () => {
    expect(() => createApp({ engine: new FakeEngine(), maxQueuedSeqs: 2 })).toThrow(/maxQueuedSeqs.*needs maxNumSeqs/)
  })
})

/** Refuses all while it is being started again. */
class RestartingEngine extends FakeEngine {
  failure: Error | null = new EngineDeadError('The engine stopped: cable.', { retryAfterMs: 1000 })
  numAsked = 0

  override async checkHealth(): Promise<void> {
    if (this.failure !== null) throw this.failure
  }

  override generate(...args: Parameters<FakeEngine['generate']>): ReturnType<FakeEngine['generate']> {
    this.numAsked++
    const { failure } = this
    if (failure === null) return super.generate(...args)
    return (async function* () {
      yield await Promise.reject(failure)
    })()
  }
}

it('tokens of embeddings count for the key', async () => {
  const app = createApp({ engine: new FakeEngine(), apiKeys: [{ key: 'k', tokensPerMinute: 10 }] })
  await embed(app, ['a b c', 'd e'], 'k')
  expect((await embed(app, ['a'], 'k')).headers['x-ratelimit-remaining-tokens']).toBe('5')
})

describe('an engine that is started again', () => {
  it.each([true, false])('is waited for (stream: %s)', async (stream) => {
    const engine = new RestartingEngine()
    const app = createApp({ engine, restartWaitMs: 10_000 })
    const held = complete(app, { stream })
    setTimeout(() => (engine.failure = null), 250)
    const { statusCode, body } = await held
    expect([statusCode, body.includes('"finish_reason":"length"')]).toEqual([200, true])
  })

  it('is waited for no longer than that, and not at all by default', async () => {
    const engine = new RestartingEngine()
    const startedAt = performance.now()
    const held = await complete(createApp({ engine, restartWaitMs: 300 }))
    expect([held.statusCode, held.headers['retry-after']]).toEqual([503, '1'])
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(300)
    engine.numAsked = 0
    expect((await complete(createApp({ engine }))).statusCode).toBe(503)
    expect(engine.numAsked).toBe(1)
  })

  it('is not waited for when it will never serve again', async () => {
    const engine = new RestartingEngine()
    engine.failure = new EngineDeadError('The engine stopped: cable.')
    expect((await complete(createApp({ engine, restartWaitMs: 10_000 }))).statusCode).toBe(500)
    expect(engine.numAsked).toBe(1)
  })

  it('gets no request twice that it died with', async () => {
    const failure = new EngineDeadError('The engine stopped: poison.', { retryAfterMs: 10 })
    const engine = new FakeEngine({ failure: { atToken: 0, error: failure } })
    expect((await complete(createApp({ engine, restartWaitMs: 10_000 }))).statusCode).toBe(503)
    expect(engine.seen).toHaveLength(1)
  })

  it('is waited for by nobody whose client has left', async () => {
    const engine = new RestartingEngine()
    const app = createApp({ engine, restartWaitMs: 60_000 })
    const controller = new AbortController()
    const held = fetchCompletion(app, controller.signal)
    await expect.poll(() => engine.numAsked).toBeGreaterThan(1)
    controller.abort()
    void held.catch(() => undefined)
    const before = engine.numAsked
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(engine.numAsked).toBeLessThanOrEqual(before + 1)
  })
})
