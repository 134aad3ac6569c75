/** `OCTAVO_MUTATIONS=20000 vitest run src/mutated-requests.test.ts` tries as many. */
import { fileURLToPath } from 'node:url'
import { AsyncEngine, uniformAt } from '@octavo/core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createApp } from './app.ts'
import { listen, type RunningServer } from './listen.ts'
import { createModelRouter } from './model-router.ts'
import { mutateRequest, type SentRequest, toSentRequest } from './testing/mutate-request.ts'
import { requestSeeds, seedsOfNothing } from './testing/request-seeds.ts'

const numMutations = Number(process.env['OCTAVO_MUTATIONS'] ?? 400)
const numAtOnce = 20
/** What a small request may take when nothing else goes on. */
const maxMs = 2_000
const smallBytes = 4_096
const hangMs = 120_000

interface Ending {
  readonly status: number
  /** Of an error, in the body or in a stream. */
  readonly fault: string | null
  readonly ms: number
}

describe('requests to every endpoint', () => {
  let server: RunningServer
  let close: () => Promise<void>
  beforeAll(async () => {
    const chatTemplate = '{% for message in messages %}{{ message.content }}{% endfor %}'
    const pooling = ['bert-embed', 'bert-reranker', 'qwen3-seqcls'].map(async (name) => {
      const model = fileURLToPath(new URL(`../../../fixtures/models/${name}`, import.meta.url))
      return [name, await AsyncEngine.create({ model, backend: 'cpu', chatTemplate })] as const
    })
    // A short context, so that what has lost its limit ends soon.
    const tiny = await AsyncEngine.create({ model: 'octavo-tiny', maxModelLen: 256 })
    const engine = createModelRouter({ 'octavo-tiny': tiny, ...Object.fromEntries(await Promise.all(pooling)) })
    server = await listen(createApp({ engine, version: '0', enableTokenizerInfoEndpoint: true }), { port: 0 })
    close = async () => {
      await server.close()
      await engine.shutdown()
    }
  }, 120_000)
  afterAll(() => close())

  async function send({ method, path, headers, body }: SentRequest): Promise<Ending> {
    const before = performance.now()
    const response = await fetch(server.url + path, { method, headers, body, signal: AbortSignal.timeout(hangMs) })
    const text = await response.text()
    return { status: response.status, fault: faultOf(response, text), ms: performance.now() - before }
  }

  const describeRequest = (request: SentRequest): string => JSON.stringify(request).slice(0, 2000)

  it('are answered', async () => {
    for (const seed of requestSeeds) {
      const request = toSentRequest(seed)
      expect(await send(request), describeRequest(request)).toMatchObject({ status: 200, fault: null })
    }
    for (const seed of seedsOfNothing) {
      const request = toSentRequest(seed)
      expect([400, 404], describeRequest(request)).toContain((await send(request)).status)
    }
  })

  it('that were changed somewhere are answered or refused, soon, and the server goes on', async () => {
    const seeds = [...requestSeeds, ...seedsOfNothing]
    const statuses = new Map<number, number>()
    const slow: SentRequest[] = []
    const faults: string[] = []
    const check = async (number: number): Promise<void> => {
      let draws = 0
      const uniform = (): number => uniformAt(number, draws++)
      const seed = seeds[Math.floor(uniform() * seeds.length)]!
      const request = mutateRequest(seed, uniform)
      try {
        const { status, fault, ms } = await send(request)
        statuses.set(status, (statuses.get(status) ?? 0) + 1)
        if (status >= 500 || fault?.startsWith('5') === true)
          faults.push(`${status} ${fault}: ${describeRequest(request)}`)
        if (ms > maxMs && (request.body ?? '').length <= smallBytes) slow.push(request)
      } catch (error) {
        faults.push(`${String(error)}: ${describeRequest(request)}`)
      }
    }
    for (let at = 0; at < numMutations; at += numAtOnce)
      await Promise.all(Array.from({ length: numAtOnce }, (_, i) => check(at + i)))
    expect(faults).toEqual([])
    for (const request of slow) expect((await send(request)).ms, describeRequest(request)).toBeLessThan(maxMs)
    for (const status of [200, 400, 404]) expect(statuses.get(status) ?? 0).toBeGreaterThan(numMutations / 50)
    for (const seed of requestSeeds) expect((await send(toSentRequest(seed))).status).toBe(200)
  }, 3_600_000)
})

/** Status and message; a 501 says honestly what is not there. */
function faultOf(response: Response, text: string): string | null {
  const { status } = response
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true
  if (!isStream) {
    if (status < 400 || status === 501) return null
    if (response.headers.get('content-type')?.startsWith('application/json') !== true)
      return `5 no JSON: ${text.slice(0, 200)}`
    const { error } = JSON.parse(text) as { error?: { message?: unknown } }
    return typeof error?.message === 'string' ? `${status} ${error.message}` : `5 no message: ${text.slice(0, 200)}`
  }
  const events = text.split('\n').filter((line) => line.startsWith('data: {'))
  for (const event of events) {
    const { type, error, code } = JSON.parse(event.slice('data: '.length)) as {
      type?: string
      code?: unknown
      error?: { code?: unknown; type?: string } | null
    }
    if (type === 'response.failed') continue
    if (error != null) return `${String(error.type === 'api_error' ? 500 : (error.code ?? code ?? 400))} in a stream`
  }
  const isWhole = /data: \[DONE\]\n\n$|"type":"message_stop"\}\n\n$|^event: error/.test(text)
  return isWhole ? null : `5 a stream without an end: ${text.slice(-300)}`
}
