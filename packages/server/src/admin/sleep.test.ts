import { describe, expect, it } from 'vitest'
import { EngineSleepingError } from '@octavo/core'
import { createApp } from '../app.ts'
import { FakeEngine } from '../testing/fake-engine.ts'

const key = 'the-operators-key'
const headers = { authorization: `Bearer ${key}` }

function appOf(engine: FakeEngine) {
  return createApp({ engine, version: '0', adminApiKey: key })
}

describe('sleep', () => {
  it('goes to the engine, with vLLM’s defaults', async () => {
    const engine = new FakeEngine()
    const app = appOf(engine)
    const state = async () => (await app.inject({ url: '/is_sleeping', headers })).json<{ is_sleeping: boolean }>()
    expect(await state()).toEqual({ is_sleeping: false })
    for (const url of ['/sleep', '/sleep?level=2&mode=wait']) {
      const response = await app.inject({ method: 'POST', url, headers })
      expect([response.statusCode, response.body]).toEqual([200, ''])
    }
    expect(engine.sleeps).toEqual([
      { level: 1, mode: 'abort' },
      { level: 2, mode: 'wait' },
    ])
    expect(await state()).toEqual({ is_sleeping: true })
    expect((await app.inject('/health')).statusCode).toBe(200)
    expect((await app.inject({ method: 'POST', url: '/wake_up', headers })).statusCode).toBe(200)
    expect(await state()).toEqual({ is_sleeping: false })
  })

  it('is for operators', async () => {
    const engine = new FakeEngine()
    for (const [method, url] of [
      ['POST', '/sleep'],
      ['POST', '/wake_up'],
      ['GET', '/is_sleeping'],
      ['POST', '/reset_prefix_cache'],
    ] as const)
      expect([url, (await appOf(engine).inject({ method, url })).statusCode]).not.toEqual([url, 200])
    expect([engine.sleeps, engine.numResets]).toEqual([[], 0])
  })

  it.each([
    ['/sleep?level=3', 'level'],
    ['/sleep?mode=keep', 'mode'],
    ['/wake_up?tags=weights', 'tags'],
    ['/reset_prefix_cache?reset_external=true', 'reset_external'],
    ['/reset_prefix_cache?reset_running_requests=true', 'reset_running_requests'],
  ])('refuses %s', async (url, param) => {
    const response = await appOf(new FakeEngine()).inject({ method: 'POST', url, headers })
    expect([response.statusCode, response.json()]).toMatchObject([400, { error: { param } }])
  })

  it('answers 503 to requests that a sleeping engine refuses', async () => {
    const engine = new FakeEngine({ failure: { atToken: 0, error: new EngineSleepingError() } })
    const payload = { prompt: 'a' }
    const response = await appOf(engine).inject({ method: 'POST', url: '/v1/completions', payload })
    expect(response.statusCode).toBe(503)
  })
})

describe('the prefix cache', () => {
  it('is emptied', async () => {
    const engine = new FakeEngine()
    const response = await appOf(engine).inject({ method: 'POST', url: '/reset_prefix_cache', headers })
    expect([response.statusCode, response.body, engine.numResets]).toEqual([200, '', 1])
  })
})

describe('GET /load', () => {
  it('counts requests to models that are being answered', async () => {
    const { promptly, release } = held()
    const app = appOf(new FakeEngine({ pace: () => promptly }))
    const load = async () => (await app.inject('/load')).json<{ server_load: number }>().server_load
    expect(await load()).toBe(0)
    const answers = [1, 2].map(() => app.inject({ method: 'POST', url: '/v1/completions', payload: { prompt: 'a' } }))
    for (const answer of answers) answer.catch(() => undefined)
    await expect.poll(load).toBe(2)
    release()
    await Promise.all(answers)
    expect(await load()).toBe(0)
  })
})

function held(): { promptly: Promise<void>; release: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { promptly: promise, release: resolve }
}
