import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { octavo } from './program.ts'

const key = 'sk-plantedKey-0815'
const promptWord = 'Xylograph'

/** Takes traces; `bodies` are what came. */
async function collector() {
  const bodies: string[] = []
  const server = createServer(async (request, response) => {
    bodies.push(await text(request))
    response.writeHead(200, { connection: 'close' }).end('{}')
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, bodies, [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())) }
}

interface ExportedSpan {
  readonly name: string
  readonly traceId: string
  readonly parentSpanId: string
  readonly attributes: readonly { readonly key: string }[]
}

const serving = / at (https?:\S+)\/v1/

describe('octavo serve', () => {
  it('tells a collector, a scraper and a journal of each request, and none of them what it said', async () => {
    await using traces = await collector()
    const flags = ['--port', '0', '--log-format', 'json', '--otlp-traces-endpoint', traces.url, '--metrics', 'key']
    await using program = octavo(['serve', 'octavo-tiny', ...flags], { env: { OCTAVO_API_KEY: key } })
    const [, url = ''] = await program.waitFor(serving)
    const headers = {
      'content-type': 'application/json',
      authorization: `Bearer ${key}`,
      traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    }
    const body = JSON.stringify({ prompt: `${promptWord} one two`, max_tokens: 3, ignore_eos: true })
    const answer = await fetch(`${url}/v1/completions`, { method: 'POST', headers, body })
    expect(answer.status).toBe(200)
    expect((await fetch(`${url}/metrics`)).status).toBe(401)
    const metrics = await (await fetch(`${url}/metrics`, { headers })).text()
    expect(metrics).toContain('vllm:generation_tokens_total{engine="0",model_name="octavo-tiny"} 3')
    program.kill('SIGTERM')
    expect(await program.exitCode).toBe(0)
    const lines = program.stderr.trim().split('\n')
    const entries = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(entries.filter(({ msg }) => msg === 'request')).toMatchObject([
      { level: 'info', route: '/v1/completions', status: 200, completionTokens: 3, finishReason: 'length' },
      { route: '/metrics', status: 401 },
      { route: '/metrics', status: 200 },
    ])
    const spans = traces.bodies.flatMap((one) => {
      const { resourceSpans } = JSON.parse(one) as { resourceSpans: { scopeSpans: { spans: ExportedSpan[] }[] }[] }
      return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans))
    })
    expect(spans).toMatchObject([
      { name: 'llm_request', traceId: '4bf92f3577b34da6a3ce929d0e0e4736', parentSpanId: '00f067aa0ba902b7' },
    ])
    for (const told of [program.stderr, program.stdout, metrics, traces.bodies.join('')])
      for (const word of [promptWord, key]) expect(told).not.toContain(word)
  })

  it('writes no line of less importance than it is told', async () => {
    const flags = ['--port', '0', '--log-level', 'warn', '--host', '0.0.0.0']
    await using program = octavo(['serve', 'octavo-tiny', ...flags])
    await program.waitFor(/warning: .*anyone who reaches 0\.0\.0\.0/)
    program.kill('SIGTERM')
    await program.exitCode
    const lines = program.stderr.trim().split('\n')
    expect(lines.filter((line) => !line.startsWith('warning: ') && !line.startsWith('loading '))).toEqual([])
  })

  it('refuses to send traces to what is no collector, before it loads the model', async () => {
    await using program = octavo(['serve', 'octavo-tiny', '--otlp-traces-endpoint', 'grpc://localhost:4317'])
    expect(await program.exitCode).toBe(2)
    expect(program.stderr).toContain('--otlp-traces-endpoint: must be a URL of HTTP')
    expect(program.stderr).not.toContain('loading')
  })
})
