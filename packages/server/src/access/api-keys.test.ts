import { InvalidConfigError } from '@octavo/core'
import { describe, expect, it } from 'vitest'
import { createApp } from '../app.ts'
import { FakeEngine } from '../testing/fake-engine.ts'
import { sha256Of } from './api-key.ts'
import { KeyRing } from './key-ring.ts'

const secret = 'sk-planted-1234567890'
const hashed = { sha256: sha256Of(secret).toString('hex') }

/** The statuses of completions asked for with these keys, one after the other. */
async function statusesOf(app: ReturnType<typeof createApp>, ...keys: string[]): Promise<number[]> {
  const statuses: number[] = []
  for (const key of keys) statuses.push((await complete(app, key)).statusCode)
  return statuses
}

const complete = (app: ReturnType<typeof createApp>, key: string, body: object = {}) =>
  app.inject({
    method: 'POST',
    url: '/v1/completions',
    headers: { 'x-api-key': key },
    payload: { prompt: 'a b', max_tokens: 2, ...body },
  })

describe('API keys', () => {
  it('are taken themselves, or as hashes alone', async () => {
    const app = createApp({ engine: new FakeEngine(), apiKeys: ['plain', hashed] })
    expect(await statusesOf(app, 'plain', secret, hashed.sha256, 'other', '')).toEqual([200, 200, 401, 401, 401])
  })

  it('have tenants of their own, or share one', async () => {
    const engine = new FakeEngine()
    const app = createApp({
      engine,
      apiKeys: ['a', { key: 'b' }, { key: 'c', tenant: 'team' }, { key: 'd', tenant: 'team' }],
    })
    await statusesOf(app, 'a', 'b', 'c', 'd')
    const [a, b, c, d] = engine.seen.map(({ request }) => request.cacheSalt)
    expect(new Set([a, b, c]).size).toBe(3)
    expect(c).toBe(d)
  })

  it.each([
    [[{ key: secret, sha256: hashed.sha256 }], 'key 1 needs one of key and sha256'],
    [[{}], 'key 1 needs one of key and sha256'],
    [['x', { sha256: secret }], 'key 2 has a sha256 that is not 64 hexadecimal digits'],
    [[secret, hashed], 'are the same key'],
    [[{ key: secret, request_per_minute: 1 }], 'it may have name, key, sha256, tenant, requestsPerMinute'],
    [[{ key: secret, tokensPerMinute: 0 }], 'tokensPerMinute: must be an integer of at least 1, got 0'],
    [[{ key: 12_345_678 }], 'key: must be a text'],
    [[{ key: `${secret} ` }], 'white space at an end'],
    [[7], 'must be a text or an object'],
  ])('that are wrong are refused and not quoted: %#', (keys, message) => {
    const make = () => new KeyRing(keys as string[])
    expect(make).toThrow(InvalidConfigError)
    expect(make).toThrow(message)
    expect(make).not.toThrow(/planted|12345678/)
  })

  it('may change while the server runs; a wrong list changes nothing', async () => {
    const ring = new KeyRing(['one', { key: 'two', requestsPerMinute: 2 }])
    const app = createApp({ engine: new FakeEngine(), authenticate: ring.authenticate })
    expect(await statusesOf(app, 'one', 'two', 'three')).toEqual([200, 200, 401])
    ring.replace(['three', { key: 'two', requestsPerMinute: 2 }])
    // What was used stays used.
    expect(await statusesOf(app, 'one', 'two', 'two', 'three')).toEqual([401, 200, 429, 200])
    expect(() => ring.replace(['four', { key: 'five', sha256: 'x' }])).toThrow(InvalidConfigError)
    expect(await statusesOf(app, 'three', 'four')).toEqual([200, 401])
  })
})

describe('limits of a key', () => {
  it('count requests that make the model work, and say so in headers', async () => {
    const app = createApp({ engine: new FakeEngine(), apiKeys: [{ key: 'k', requestsPerMinute: 2 }, 'free'] })
    const first = await complete(app, 'k')
    expect(first.headers).toMatchObject({ 'x-ratelimit-limit-requests': '2', 'x-ratelimit-remaining-requests': '1' })
    expect(first.headers['x-ratelimit-reset-requests']).toMatch(/^(29\.\ds|30s)$/)
    for (let i = 0; i < 5; i++)
      expect((await app.inject({ url: '/v1/models', headers: { 'x-api-key': 'k' } })).statusCode).toBe(200)
    expect(await statusesOf(app, 'k', 'k', 'free')).toEqual([200, 429, 200])
    const refused = await complete(app, 'k')
    expect(refused.json().error).toMatchObject({ type: 'RateLimitError', code: 'rate_limit_exceeded' })
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(29)
    expect(Number(refused.headers['retry-after-ms']) / 1000).toBeLessThanOrEqual(30)
    expect((await complete(app, 'free')).headers).not.toHaveProperty('x-ratelimit-limit-requests')
  })

  it('count tokens of prompts and outputs, streamed or not, once they are known', async () => {
    const app = createApp({ engine: new FakeEngine(), apiKeys: [{ key: 'k', tokensPerMinute: 20 }] })
    expect((await complete(app, 'k')).headers['x-ratelimit-remaining-tokens']).toBe('20')
    // 2 of the prompt and 2 of the output; then 2 and 5 of each of two samples.
    expect(
      (await complete(app, 'k', { stream: true, n: 2, max_tokens: 5 })).headers['x-ratelimit-remaining-tokens'],
    ).toBe('16')
    const third = await complete(app, 'k', { max_tokens: 10 })
    expect([third.statusCode, third.headers['x-ratelimit-remaining-tokens']]).toEqual([200, '4'])
    const fourth = await complete(app, 'k')
    expect([fourth.statusCode, fourth.headers['x-ratelimit-remaining-tokens']]).toEqual([429, '0'])
    expect(fourth.json().error.message).toContain('may use 20 tokens a minute')
    // 4 - 12 = -8; one is there again after 27 s.
    expect(Math.abs(Number(fourth.headers['retry-after']) - 27)).toBeLessThanOrEqual(1)
  })

  it('count requests at once, until their answers have ended', async () => {
    const gate = Promise.withResolvers<void>()
    const engine = new FakeEngine({ pace: () => gate.promise })
    const app = createApp({ engine, apiKeys: [{ key: 'k', maxConcurrentRequests: 2 }] })
    const running = [complete(app, 'k'), complete(app, 'k', { stream: true })]
    await expect.poll(() => engine.seen.length).toBe(2)
    const third = await complete(app, 'k')
    expect([third.statusCode, third.headers['retry-after']]).toEqual([429, '1'])
    gate.resolve()
    expect((await Promise.all(running)).map(({ statusCode }) => statusCode)).toEqual([200, 200])
    expect(await statusesOf(app, 'k', 'k')).toEqual([200, 200])
  })

  it('hold on to the place of a request whose client left until the engine is through', async () => {
    const ring = new KeyRing([{ key: 'k', maxConcurrentRequests: 1 }])
    const ask = () =>
      ring.authenticate({ headers: { authorization: 'Bearer k' } } as Parameters<typeof ring.authenticate>[0])
    const caller = await ask()
    const ticket = caller!.meter!.open()
    ticket.retain()
    ticket.release()
    expect(() => caller!.meter!.open()).toThrow('may have 1 requests running')
    ticket.release()
    caller!.meter!.open()
  })
})
