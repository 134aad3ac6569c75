import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { silentLogger } from '@octavo/core'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { openTracing } from './open-tracing.ts'

interface Taken {
  readonly path: string
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: string
}

const servers: Server[] = []
afterEach(async () => {
  vi.unstubAllEnvs()
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve))
})

/** What takes traces, or does not, as its status says. */
async function collector(status = { code: 200 }): Promise<{ url: string; taken: Taken[] }> {
  const taken: Taken[] = []
  const server = createServer(async (request, response) => {
    taken.push({ path: request.url ?? '', headers: request.headers, body: await text(request) })
    response.writeHead(status.code, { connection: 'close', 'content-type': 'application/json' }).end('{}')
  })
  servers.push(server)
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, taken }
}

describe('openTracing', () => {
  it('sends spans to the collector, with the names and headers of the environment, at the latest at the end', async () => {
    vi.stubEnv('OTEL_SERVICE_NAME', 'my-models')
    vi.stubEnv('OTEL_RESOURCE_ATTRIBUTES', 'zone=a')
    vi.stubEnv('OTEL_EXPORTER_OTLP_HEADERS', 'x-token=abc')
    const { url, taken } = await collector()
    const tracing = await openTracing(url, silentLogger)
    tracing.tracer.startSpan('llm_request', { attributes: { 'gen_ai.request.id': 'r1' } }).end()
    await tracing.close()
    expect(taken.map(({ path }) => path)).toEqual(['/v1/traces'])
    expect(taken[0]?.headers['x-token']).toBe('abc')
    const { resourceSpans } = JSON.parse(taken[0]?.body ?? '') as {
      resourceSpans: { resource: { attributes: object[] }; scopeSpans: { spans: { name: string }[] }[] }[]
    }
    const attributes = resourceSpans[0]?.resource.attributes
    expect(attributes).toContainEqual({ key: 'service.name', value: { stringValue: 'my-models' } })
    expect(attributes).toContainEqual({ key: 'zone', value: { stringValue: 'a' } })
    expect(resourceSpans[0]?.scopeSpans[0]?.spans).toMatchObject([
      { name: 'llm_request', attributes: [{ key: 'gen_ai.request.id', value: { stringValue: 'r1' } }] },
    ])
  })

  it('says once that spans are lost, and that they are taken again', async () => {
    vi.stubEnv('OTEL_BSP_SCHEDULE_DELAY', '10')
    const status = { code: 400 }
    const { url, taken } = await collector(status)
    const lines: string[] = []
    const say = (line: string): void => void lines.push(line)
    const tracing = await openTracing(`${url}/own/path`, { ...silentLogger, warn: say, info: say })
    const send = async (): Promise<void> => {
      const before = taken.length
      tracing.tracer.startSpan('llm_request').end()
      await vi.waitFor(() => expect(taken.length).toBe(before + 1))
    }
    await send()
    await send()
    status.code = 200
    await send()
    await tracing.close()
    expect(taken[0]?.path).toBe('/own/path')
    expect(lines).toEqual([expect.stringMatching(/^traces are lost: /), 'traces are taken again'])
  })

  it.each(['localhost:4318', 'grpc://localhost:4317', 'x', 'http://user:secret@localhost'])(
    'refuses %s',
    async (url) => {
      await expect(openTracing(url, silentLogger)).rejects.toMatchObject({
        code: 'invalid_config',
        message: expect.stringMatching(/^(?!.*secret).*(URL of HTTP|OTEL_EXPORTER_OTLP_HEADERS)/) as string,
      })
    },
  )
})
