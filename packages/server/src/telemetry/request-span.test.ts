import { SpanStatusCode, trace } from '@opentelemetry/api'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { describe, expect, it, vi } from 'vitest'
import Fastify from 'fastify'
import { createApp } from '../app.ts'
import { mountServer } from '../plugin.ts'
import { FakeEngine, type FakeEngineOptions } from '../testing/fake-engine.ts'
import { callerContext } from './request-span.ts'

const parent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

function setup(options: FakeEngineOptions = {}) {
  const exporter = new InMemorySpanExporter()
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  const app = createApp({ engine: new FakeEngine(options), apiKeys: ['key'], tracer: provider.getTracer('test') })
  const send = (url: string, payload: object, headers: object = {}) =>
    app.inject({ method: 'POST', url, payload, headers: { authorization: 'Bearer key', ...headers } })
  return { app, send, spans: () => exporter.getFinishedSpans() }
}

describe('the span of a request', () => {
  it('is below the caller’s, and keeps its state', async () => {
    const { send, spans } = setup()
    await send('/v1/completions', { prompt: 'a', max_tokens: 2 }, { traceparent: parent, tracestate: 'vendor=x' })
    const [span] = spans()
    expect(span?.parentSpanContext).toMatchObject({ spanId: '00f067aa0ba902b7', isRemote: true })
    expect(span?.spanContext().traceState?.serialize()).toBe('vendor=x')
    expect(span?.status.code).toBe(SpanStatusCode.UNSET)
  })

  it('says that the engine failed, and nothing of why', async () => {
    const { send, spans } = setup({ failure: { atToken: 1, error: new Error('secret words') } })
    expect((await send('/v1/completions', { prompt: 'a' })).statusCode).toBe(500)
    const [span] = spans()
    expect(span?.status).toEqual({ code: SpanStatusCode.ERROR })
    expect(span?.attributes).toMatchObject({ 'error.type': '500', 'http.response.status_code': 500 })
    expect(JSON.stringify([span?.attributes, span?.events])).not.toContain('secret')
  })

  it('is there for refused ones too, without a fault of the server', async () => {
    const { app, send, spans } = setup()
    await send('/v1/chat/completions/', { messages: 1 })
    await app.inject({ method: 'POST', url: '/v1/completions', payload: {} })
    expect(spans().map(({ attributes, status }) => [attributes['http.response.status_code'], status.code])).toEqual([
      [400, SpanStatusCode.UNSET],
      [401, SpanStatusCode.UNSET],
    ])
    expect(spans().map(({ attributes }) => attributes['gen_ai.operation.name'])).toEqual(['chat', 'text_completion'])
  })

  it('of a response in the background is answered at once, and has one below it of the work', async () => {
    const { send, spans } = setup({ pace: () => new Promise((resolve) => setTimeout(resolve, 5)) })
    const answer = await send('/v1/responses', { input: 'a', background: true, max_output_tokens: 16 })
    expect(answer.statusCode).toBe(200)
    expect(spans().length).toBe(1)
    await vi.waitFor(() => expect(spans().length).toBe(2))
    const [first, second] = spans()
    expect(first?.attributes['gen_ai.usage.completion_tokens']).toBeUndefined()
    expect(second?.attributes).toMatchObject({ 'gen_ai.usage.completion_tokens': 16, 'gen_ai.request.model': 'fake' })
    expect(second?.parentSpanContext?.spanId).toBe(first?.spanContext().spanId)
  })

  it('is not there for what needs no model', async () => {
    const { app, send, spans } = setup()
    await app.inject({ url: '/health' })
    await app.inject({ url: '/v1/models', headers: { authorization: 'Bearer key' } })
    await app.inject({ url: '/v1/completions' })
    await send('/v1/nothing', {})
    expect(spans()).toEqual([])
  })
})

it('is there for every endpoint that runs a model', async () => {
  const app = Fastify()
  const { endpoints } = mountServer(app, { engine: new FakeEngine() })
  await app.ready()
  const operations = endpoints.flatMap(({ url, operation }) => (operation === undefined ? [] : [`${url} ${operation}`]))
  expect(operations.sort()).toEqual([
    '/classify classify',
    '/pooling pooling',
    '/rerank rerank',
    '/score score',
    '/v1/chat/completions chat',
    '/v1/completions text_completion',
    '/v1/embeddings embeddings',
    '/v1/messages chat',
    '/v1/rerank rerank',
    '/v1/responses chat',
    '/v1/score score',
    '/v2/rerank rerank',
  ])
})

describe('traceparent', () => {
  const spanOf = (traceparent: string | undefined, tracestate?: string) =>
    trace.getSpanContext(callerContext({ ...(traceparent && { traceparent }), ...(tracestate && { tracestate }) }))

  it('of a later version may be longer', () => {
    expect(spanOf(parent)?.traceFlags).toBe(1)
    expect(spanOf(parent.replace(/^00/, '01') + '-more')?.spanId).toBe('00f067aa0ba902b7')
  })

  it.each([
    undefined,
    'x',
    parent.replace(/^00/, 'ff'),
    `${parent}-more`,
    parent.toUpperCase(),
    `${parent}, ${parent}`,
    parent.replace('00f067aa0ba902b7', '0000000000000000'),
    parent.replace('4bf92f3577b34da6a3ce929d0e0e4736', '0'.repeat(32)),
  ])('%s is none', (header) => {
    expect(spanOf(header)).toBeUndefined()
  })

  it('goes without a state that is too long', () => {
    expect(spanOf(parent, `a=${'x'.repeat(600)}`)).toMatchObject({ spanId: '00f067aa0ba902b7' })
    expect(spanOf(parent, `a=${'x'.repeat(600)}`)?.traceState).toBeUndefined()
  })
})
