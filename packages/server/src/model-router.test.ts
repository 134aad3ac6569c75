import { InvalidConfigError } from '@octavo/core'
import type { EngineMetrics, ServedModel } from '@octavo/core'
import { describe, expect, it } from 'vitest'
import { createApp } from './app.ts'
import { createModelRouter } from './model-router.ts'
import { FakeEngine } from './testing/fake-engine.ts'

function complete(app: ReturnType<typeof createApp>, body: object) {
  return app.inject({ method: 'POST', url: '/v1/completions', payload: { max_tokens: 1, ...body } })
}

describe('createModelRouter', () => {
  it('serves each model from its engine under its key, and the first where none is named', async () => {
    const [small, large] = [new FakeEngine({ models: ['s', 's-alias'] }), new FakeEngine({ models: ['l'] })]
    Object.assign(small, { models: small.models.map((model) => ({ ...model, root: 's' })) })
    const app = createApp({ engine: createModelRouter({ small, large }) })
    const { data } = (await app.inject('/v1/models')).json()
    expect(data.map(({ id }: { id: string }) => id)).toEqual(['small', 'large'])
    expect((await complete(app, { prompt: 'a', model: 'large' })).json().model).toBe('large')
    expect((await complete(app, { prompt: 'a' })).json().model).toBe('small')
    expect(small.seen.map(({ request }) => request.model)).toEqual(['s'])
    expect(large.seen.map(({ request }) => request.model)).toEqual(['l'])
    const missing = await complete(app, { prompt: 'a', model: 's' })
    expect(missing.statusCode).toBe(404)
    expect(missing.json().error.message).toContain('"small", "large"')
  })

  it("detokenizes with the model's own tokenizer", async () => {
    const [a, b] = [new FakeEngine(), new FakeEngine()]
    a.idsOf('one two')
    b.idsOf('eins zwei')
    const app = createApp({ engine: createModelRouter({ a, b }) })
    const echo = { prompt: [0, 1], echo: true, max_tokens: 0 }
    expect((await complete(app, { ...echo, model: 'a' })).json().choices[0].text).toBe('one two')
    expect((await complete(app, { ...echo, model: 'b' })).json().choices[0].text).toBe('eins zwei')
  })

  it('has vectors made by the engine of the model that is named', async () => {
    const [a, b] = [new FakeEngine({ models: ['x'] }), new FakeEngine({ tasks: ['generate'] })]
    const router = createModelRouter({ a, b })
    const request = { requestId: '1', prompt: { type: 'text', text: 'one two' }, params: { task: 'embed' } } as const
    expect((await router.pool!({ ...request, model: 'a' })).shape).toEqual([4])
    expect(a.seenPooling.map(({ model }) => model)).toEqual(['x'])
    await expect(router.pool!({ ...request, model: 'b' })).rejects.toThrow(
      "does not do the task 'embed'; it does generate.",
    )
    Object.assign(b, { pool: undefined })
    await expect(router.pool!({ ...request, model: 'b' })).rejects.toThrow(
      "does not do the task 'embed'; it does generate.",
    )
  })

  it('follows models that come and go', () => {
    const engine = new FakeEngine({ models: ['base'] })
    const router = createModelRouter({ base: engine })
    const adapter: ServedModel = { ...engine.models[0]!, id: 'adapter', root: '/adapters/x' }
    Object.assign(engine, { models: [...engine.models, adapter] })
    expect(router.models.map(({ id }) => id)).toEqual(['base', 'adapter'])
  })

  it('is healthy while all are, ends all, and adds up their counters', async () => {
    const [a, b] = [new FakeEngine(), new FakeEngine()]
    const metrics = (numKvBlocks: number, kvCacheUsage: number): EngineMetrics => ({
      numRunningSeqs: 1,
      numWaitingSeqs: 2,
      numDeferredSeqs: 1,
      kvCacheUsage,
      numKvBlocks,
      numUnfilledKvSlots: 0,
      numPreemptions: 0,
      promptTokens: 10,
      generationTokens: 0,
      prefixCacheQueries: 0,
      prefixCacheHits: 0,
      numSteps: 3,
      stepTokens: { counts: [1, 2], sum: 9 },
      drafts: null,
    })
    a.metrics = () => metrics(100, 0.5)
    b.metrics = () => metrics(300, 0.1)
    const router = createModelRouter({ a, b })
    expect(router.metrics()).toMatchObject({ numRunningSeqs: 2, promptTokens: 20, numSteps: 6, numKvBlocks: 400 })
    expect(router.metrics()).toMatchObject({ numDeferredSeqs: 2, stepTokens: { counts: [2, 4], sum: 18 } })
    expect(router.metrics().kvCacheUsage).toBeCloseTo(0.2)
    await router.checkHealth()
    b.isDead = true
    await expect(router.checkHealth()).rejects.toThrow('dead')
    await router.shutdown()
    expect(a.isDead).toBe(true)
  })

  it('has all engines sleep, or none', async () => {
    const [a, b, c] = [new FakeEngine(), new FakeEngine(), new FakeEngine()]
    const router = createModelRouter({ a, b })
    await router.sleep?.({ level: 1, mode: 'wait' })
    expect([a.isSleeping, b.isSleeping, router.isSleeping]).toEqual([true, true, true])
    await router.wakeUp?.()
    expect(router.isSleeping).toBe(false)
    Object.assign(b, { sleep: undefined })
    await expect(createModelRouter({ a, b, c }).sleep?.({ level: 1, mode: 'wait' })).rejects.toThrow(/does not do this/)
    expect([a.isSleeping, c.isSleeping]).toEqual([false, false])
  })

  it('refuses no engines, and two models of one name', () => {
    expect(() => createModelRouter({})).toThrow(InvalidConfigError)
    const other = new FakeEngine({ models: ['x', 'b'] })
    expect(() => createModelRouter({ a: other, b: new FakeEngine() })).toThrow(/two models have the name "b"/)
  })
})
