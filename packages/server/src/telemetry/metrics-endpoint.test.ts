import { describe, expect, it } from 'vitest'
import { AsyncEngine } from '@octavo/core'
import Fastify from 'fastify'
import type { AppOptions } from '../app.ts'
import { createApp } from '../app.ts'
import { createModelRouter } from '../model-router.ts'
import { octavoPlugin } from '../plugin.ts'
import { FakeEngine } from '../testing/fake-engine.ts'
import { ReadMetrics } from '../testing/read-metrics.ts'

const keys = { apiKeys: ['key'], adminApiKey: 'admin-key' }

async function status(options: Partial<AppOptions>, key?: string): Promise<number> {
  const app = createApp({ engine: new FakeEngine(), ...keys, ...options })
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` }
  return (await app.inject({ url: '/metrics', headers })).statusCode
}

describe('GET /metrics', () => {
  it('is open, behind a key, behind the admin key, or not there', async () => {
    expect(await status({})).toBe(200)
    expect([await status({ metrics: 'key' }), await status({ metrics: 'key' }, 'key')]).toEqual([401, 200])
    expect([await status({ metrics: 'admin' }, 'key'), await status({ metrics: 'admin' }, 'admin-key')]).toEqual([
      401, 200,
    ])
    expect(await status({ metrics: 'off' }, 'admin-key')).toBe(404)
  })

  it('is Prometheus’s text, or OpenMetrics for who asks for it', async () => {
    const app = createApp({ engine: new FakeEngine() })
    await app.inject({ url: '/v1/models' })
    const plain = await app.inject({ url: '/metrics' })
    expect(plain.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(plain.body).toContain('# TYPE http_requests_total counter')
    const accept = 'application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5'
    const open = await app.inject({ url: '/metrics', headers: { accept } })
    expect(open.headers['content-type']).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8')
    expect(open.body).toContain('# TYPE http_requests counter')
    expect(open.body).toMatch(/# EOF\n$/)
    const [first, second] = [new ReadMetrics(plain.body), new ReadMetrics(open.body)]
    expect(second.series).toEqual(first.series)
  })

  it('has as many series after 10,000 paths, methods and names as before', async () => {
    const app = createApp({ engine: new FakeEngine() })
    const scrape = async (): Promise<string[]> => new ReadMetrics((await app.inject({ url: '/metrics' })).body).series
    const methods = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND'] as const
    const send = (i: number) =>
      app.inject({
        method: methods[i % methods.length]! as 'GET',
        url: ['/', '/v1/', '/v1/models/', '/v1/chat/completions?x=', '/%7f'][i % 5]! + (i * 7919).toString(36),
        ...(i % 3 === 0 && { payload: { model: `model ${i}`, prompt: `${i}`, messages: [] } }),
      })
    for (let i = 0; i < 300; i++) await send(i)
    const before = await scrape()
    for (let i = 300; i < 10_000; i += 100) await Promise.all(Array.from({ length: 100 }, (_, j) => send(i + j)))
    expect(await scrape()).toEqual(before)
    const sums = new ReadMetrics((await app.inject({ url: '/metrics' })).body)
    expect(sums.sum('http_requests_total')).toBe(10_000)
  })

  it('leaves probes out', async () => {
    const app = createApp({ engine: new FakeEngine() })
    for (const url of ['/health', '/health/', '/ping', '/version', '/metrics']) await app.inject({ url })
    const { body } = await app.inject({ url: '/metrics' })
    expect(new ReadMetrics(body).sum('http_requests_total')).toBe(0)
  })

  it('has names of routes within a program, and probes left out there too', async () => {
    const app = Fastify()
    await app.register(octavoPlugin, { engine: new FakeEngine(), prefix: '/llm' })
    await app.inject({ url: '/llm/v1/models/fake' })
    await app.inject({ url: '/llm/health' })
    const { body } = await app.inject({ url: '/llm/metrics' })
    const metrics = new ReadMetrics(body)
    expect(metrics.sum('http_requests_total', { handler: '/llm/v1/models/*' })).toBe(1)
    expect(metrics.sum('http_requests_total')).toBe(1)
  })

  it('tells several engines apart by the names they are served under', async () => {
    const engines = await Promise.all([1, 2].map(() => AsyncEngine.create({ model: 'octavo-tiny' })))
    const app = createApp({
      engine: createModelRouter({ small: engines[0]!, large: engines[1]!, other: new FakeEngine() }),
    })
    const ask = (model: string, max_tokens: number) =>
      app.inject({
        method: 'POST',
        url: '/v1/completions',
        payload: { model, prompt: 'hi', max_tokens, ignore_eos: true },
      })
    await Promise.all([ask('small', 2), ask('large', 3), ask('large', 4)])
    const metrics = new ReadMetrics((await app.inject({ url: '/metrics' })).body)
    const tokens = (labels: Record<string, string>): number => metrics.sum('vllm:generation_tokens_total', labels)
    expect(tokens({ model_name: 'small', engine: '0' })).toBe(2)
    expect(tokens({ model_name: 'large', engine: '1' })).toBe(7)
    expect(tokens({})).toBe(9)
    expect(metrics.types.get('vllm:generation_tokens_total')).toBe('counter')
    const scrape = async () => new ReadMetrics((await app.inject({ url: '/metrics' })).body)
    const stateOf = (scraped: ReadMetrics) =>
      ['awake', 'weights_offloaded', 'discard_all'].map((state) =>
        scraped.sum('vllm:engine_sleep_state', { model_name: 'small', sleep_state: state }),
      )
    const steps = (scraped: ReadMetrics) => scraped.sum('vllm:iteration_tokens_total_count', { model_name: 'small' })
    expect(stateOf(metrics)).toEqual([1, 0, 0])
    await engines[0]!.sleep({ level: 1, mode: 'wait' })
    expect(stateOf(await scrape())).toEqual([0, 1, 0])
    await engines[0]!.sleep({ level: 2, mode: 'wait' })
    expect([stateOf(await scrape()), steps(await scrape())]).toEqual([[0, 0, 1], steps(metrics)])
    await engines[0]!.wakeUp()
    await ask('small', 2)
    expect([stateOf(await scrape()), steps(await scrape())]).toEqual([[1, 0, 0], steps(metrics) + 2])
    await app.close()
    await Promise.all(engines.map((engine) => engine.shutdown()))
  })
})
