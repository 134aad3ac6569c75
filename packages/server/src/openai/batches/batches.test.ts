import { appendFile, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { EngineOverloadedError } from '@octavo/core'
import { type Batch, type BatchResult, batchListSchema, batchResultSchema, batchSchema } from '@octavo/sdk/protocol'
import Fastify, { type FastifyInstance } from 'fastify'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { createApp } from '../../app.ts'
import { octavoPlugin } from '../../plugin.ts'
import { FakeEngine, type FakeEngineOptions } from '../../testing/fake-engine.ts'
import { formRequest, upload } from '../../testing/upload.ts'

const root = await mkdtemp(path.join(tmpdir(), 'octavo-batches-'))
const apps: FastifyInstance[] = []
afterAll(async () => {
  for (const app of apps) await app.close()
  await rm(root, { recursive: true })
})

let numFolders = 0
function open({
  engine: engineOptions = {},
  batches = {},
  ...options
}: { engine?: FakeEngineOptions; batches?: object; [name: string]: unknown } = {}) {
  const folder = path.join(root, String(numFolders++))
  const engine = new FakeEngine(engineOptions)
  const app = createApp({ engine, version: '0', batches: { folder, ...batches }, drainTimeoutMs: 100, ...options })
  apps.push(app)
  return { app, engine, folder }
}

const chat = (id: string, content: string, more: object = {}) => ({
  custom_id: id,
  method: 'POST',
  url: '/v1/chat/completions',
  body: { messages: [{ role: 'user', content }], max_tokens: 5, ...more },
})
const jsonl = (lines: readonly unknown[]) => lines.map((line) => `${JSON.stringify(line)}\n`).join('')

async function start(
  app: FastifyInstance,
  file: string,
  { headers = {}, ...fields }: { headers?: Record<string, string>; [name: string]: unknown } = {},
): Promise<Batch> {
  const input_file_id = await upload(app, file, headers)
  const payload = { input_file_id, endpoint: '/v1/chat/completions', completion_window: '24h', ...fields }
  const response = await app.inject({ method: 'POST', url: '/v1/batches', payload, headers })
  if (response.statusCode !== 200) throw new Error(response.body)
  return batchSchema.parse(response.json())
}

async function until(
  app: FastifyInstance,
  { id }: Batch,
  isDone: (batch: Batch) => boolean,
  headers = {},
): Promise<Batch> {
  for (;;) {
    const batch = batchSchema.parse((await app.inject({ url: `/v1/batches/${id}`, headers })).json())
    if (isDone(batch)) return batch
    await sleep(5)
  }
}
const untilEnd = (app: FastifyInstance, batch: Batch, headers = {}) =>
  until(app, batch, ({ status }) => ['completed', 'failed', 'expired', 'cancelled'].includes(status), headers)

async function resultsOf(app: FastifyInstance, id: string | null | undefined, headers = {}): Promise<BatchResult[]> {
  if (id == null) return []
  const { body } = await app.inject({ url: `/v1/files/${id}/content`, headers })
  return body.split('\n').flatMap((line) => (line === '' ? [] : [batchResultSchema.parse(JSON.parse(line))]))
}

describe('a batch', () => {
  it('answers each line as the endpoint does, in their order', async () => {
    const { app } = open()
    const file = jsonl([
      chat('a', 'one two END'),
      chat('b', 'three END'),
      chat('c', 'four', { max_tokens: 0 }),
      chat('d', 'x', { model: 'no' }),
      chat('e', 'x', { stream: true }),
    ])
    const begun = await start(app, file, { metadata: { name: 'test' } })
    expect(begun).toMatchObject({
      object: 'batch',
      status: 'validating',
      metadata: { name: 'test' },
      request_counts: { total: 0 },
    })
    const batch = await untilEnd(app, begun)
    expect(batch).toMatchObject({
      status: 'completed',
      request_counts: { total: 5, completed: 2, failed: 3 },
      errors: null,
      in_progress_at: expect.any(Number),
      finalizing_at: expect.any(Number),
      completed_at: expect.any(Number),
    })
    expect(batch.expires_at! - batch.created_at).toBe(86_400)
    const output = await resultsOf(app, batch.output_file_id)
    expect(output).toMatchObject([
      {
        id: expect.stringMatching(/^batch_req_/),
        custom_id: 'a',
        response: {
          status_code: 200,
          request_id: `${batch.id}-1`,
          body: { object: 'chat.completion', choices: [{ message: { content: 'one two' } }] },
        },
        error: null,
      },
      { custom_id: 'b' },
    ])
    const errors = await resultsOf(app, batch.error_file_id)
    expect(
      errors.map(({ custom_id, response }) => [
        custom_id,
        response?.status_code,
        (response as { body: { error: { param: string } } }).body.error.param,
      ]),
    ).toEqual([
      ['c', 400, 'max_tokens'],
      ['d', 404, 'model'],
      ['e', 400, 'stream'],
    ])
    const files = (await app.inject('/v1/files?purpose=batch_output')).json().data as { id: string }[]
    expect(new Set(files.map(({ id }) => id))).toEqual(new Set([batch.output_file_id, batch.error_file_id]))
  })

  it('is for one endpoint, and for files that are there', async () => {
    const { app } = open()
    const texts = jsonl([{ ...chat('a', ''), url: '/v1/completions', body: { prompt: 'one END' } }])
    const batch = await untilEnd(app, await start(app, texts, { endpoint: '/v1/completions' }))
    expect(await resultsOf(app, batch.output_file_id)).toMatchObject([
      { response: { body: { object: 'text_completion' } } },
    ])
    const create = async (fields: object) =>
      (
        await app.inject({
          method: 'POST',
          url: '/v1/batches',
          payload: {
            input_file_id: batch.input_file_id,
            endpoint: '/v1/completions',
            completion_window: '24h',
            ...fields,
          },
        })
      ).json()
    expect(await create({ endpoint: '/v1/models' })).toMatchObject({
      error: { param: 'endpoint', message: expect.stringMatching(/must be one of/) },
    })
    expect(await create({ completion_window: '1h' })).toMatchObject({ error: { param: 'completion_window' } })
    expect(await create({ input_file_id: 'file-x' })).toMatchObject({ error: { code: 404 } })
    expect(await create({ input_file_id: batch.output_file_id })).toMatchObject({ error: { param: 'input_file_id' } })
    expect(await create({ metadata: { a: 1 } })).toMatchObject({ error: { param: 'metadata.a' } })
  })

  it.each([
    ['/v1/responses', { input: 'one END' }, { object: 'response' }],
    ['/v1/completions', { prompt: 'one END' }, { object: 'text_completion' }],
    ['/v1/embeddings', { input: 'one', model: 'fake' }, { object: 'list' }],
  ] as const)('goes to %s', async (url, body, answer) => {
    const { app } = open()
    const batch = await untilEnd(
      app,
      await start(app, jsonl([{ custom_id: 'a', method: 'POST', url, body }]), { endpoint: url }),
    )
    const [result] = [...(await resultsOf(app, batch.output_file_id)), ...(await resultsOf(app, batch.error_file_id))]
    expect(result).toMatchObject({ response: { status_code: 200, body: answer } })
  })

  it.each([
    ['{"custom_id": "a", ', 'invalid_json_line', null],
    ['[]', 'invalid_json_line', null],
    [JSON.stringify({ ...chat('a', 'x'), custom_id: undefined }), 'invalid_request', 'custom_id'],
    [JSON.stringify({ ...chat('a', 'x'), method: 'GET' }), 'invalid_request', 'method'],
    [JSON.stringify({ ...chat('a', 'x'), url: '/v1/completions' }), 'invalid_url', 'url'],
    [JSON.stringify({ ...chat('a', 'x'), body: 'x' }), 'invalid_request', 'body'],
    [JSON.stringify(chat('good', 'x')), 'duplicate_custom_id', 'custom_id'],
    [JSON.stringify(chat('a', 'x'.repeat(3000))), 'line_too_long', null],
    ['{"__proto__": {}}', 'invalid_json_line', null],
  ])('fails where a line is wrong: %#', async (line, code, param) => {
    const { app, engine } = open({ bodyLimit: 2000 })
    const batch = await untilEnd(app, await start(app, `${JSON.stringify(chat('good', 'x'))}\n\r\n${line}`))
    expect(batch).toMatchObject({ status: 'failed', failed_at: expect.any(Number), request_counts: { total: 0 } })
    expect(batch.errors?.data).toEqual([{ code, param, line: 3, message: expect.stringMatching(/./) }])
    expect(engine.seen).toEqual([])
  })

  it('fails where there is nothing in the file', async () => {
    const { app } = open()
    for (const file of ['', '\n \n'])
      expect((await untilEnd(app, await start(app, file))).errors?.data).toMatchObject([
        { code: 'empty_file', line: null },
      ])
  })

  it('keeps numbers as they were written, and has its own priority', async () => {
    const { app, engine } = open({ batches: { priority: 7 } })
    const body =
      '{"messages": [{"role": "user", "content": "a END"}], "seed": 9223372036854775807, "chat_template_kwargs": {"x": 1.0}}'
    const line = (id: string, text: string) =>
      `{"custom_id": "${id}", "method": "POST", "url": "/v1/chat/completions", "body": ${text}}\n`
    const own = body.replace('{', '{"priority": 3, ')
    const batch = await untilEnd(app, await start(app, line('a', body) + line('b', own)))
    expect(batch.request_counts.completed).toBe(2)
    expect(engine.seen.map(({ request }) => request.priority).sort()).toEqual([3, 7])
    expect(engine.seen[0]?.request.params.seed).toBe(9223372036854775807n)
  })

  it('is listed in pages, newest first', async () => {
    const { app } = open()
    const ids: string[] = []
    for (let i = 0; i < 3; i++) ids.unshift((await untilEnd(app, await start(app, jsonl([chat('a', 'x END')])))).id)
    const page = batchListSchema.parse((await app.inject('/v1/batches?limit=2')).json())
    expect([page.data.map(({ id }) => id), page.has_more]).toEqual([ids.slice(0, 2), true])
    const rest = batchListSchema.parse((await app.inject(`/v1/batches?limit=2&after=${page.last_id}`)).json())
    expect([rest.data.map(({ id }) => id), rest.has_more]).toEqual([ids.slice(2), false])
  })

  it('is its tenant’s own, as the requests that it makes are', async () => {
    const { app, engine } = open({ apiKeys: ['a', 'b'] })
    const [a, b] = [{ authorization: 'Bearer a' }, { authorization: 'Bearer b' }]
    const batch = await untilEnd(app, await start(app, jsonl([chat('a', 'x END')]), { headers: a }), a)
    expect(batch.request_counts).toEqual({ total: 1, completed: 1, failed: 0 })
    await app.inject({ method: 'POST', url: '/v1/chat/completions', payload: chat('', 'x END').body, headers: a })
    const [inBatch, direct] = engine.seen.map(({ request }) => request.cacheSalt)
    expect(inBatch).toBe(direct)
    expect((await app.inject({ url: `/v1/batches/${batch.id}`, headers: b })).statusCode).toBe(404)
    expect((await app.inject({ method: 'POST', url: `/v1/batches/${batch.id}/cancel`, headers: b })).statusCode).toBe(
      404,
    )
    expect((await app.inject({ url: '/v1/batches', headers: b })).json().data).toEqual([])
    expect((await app.inject({ url: `/v1/files/${batch.output_file_id}`, headers: b })).statusCode).toBe(404)
    expect(await resultsOf(app, batch.output_file_id, a)).toHaveLength(1)
  })
})

const lines = Array.from({ length: 30 }, (_, i) => chat(`r${i}`, 'one two three four END', { max_tokens: 20 }))
const pace = (ms: number) => ({ pace: () => sleep(ms) as Promise<void> })

describe('a batch on its way', () => {
  it('is cancelled: what runs is given up, and each line has an answer', async () => {
    const { app, engine } = open({ engine: pace(10), batches: { maxRequests: 4 } })
    const begun = await start(app, jsonl(lines))
    const running = await until(app, begun, ({ request_counts: { completed } }) => completed >= 2)
    expect(running).toMatchObject({ status: 'in_progress', request_counts: { total: 30, failed: 0 } })
    const inUse = await app.inject({ method: 'DELETE', url: `/v1/files/${begun.input_file_id}` })
    expect([inUse.statusCode, inUse.json().error.message]).toEqual([409, expect.stringContaining(begun.id)])
    const response = await app.inject({ method: 'POST', url: `/v1/batches/${begun.id}/cancel` })
    expect(response.json()).toMatchObject({ status: 'cancelling', cancelling_at: expect.any(Number) })
    const batch = await untilEnd(app, begun)
    const { completed, failed } = batch.request_counts
    expect([batch.status, completed + failed]).toEqual(['cancelled', 30])
    expect(completed).toBeLessThan(20)
    const errors = await resultsOf(app, batch.error_file_id)
    expect(errors[0]).toMatchObject({ response: null, error: { code: 'batch_cancelled' } })
    expect((await resultsOf(app, batch.output_file_id)).map(({ custom_id }) => custom_id)).toEqual(
      lines.slice(0, completed).map(({ custom_id }) => custom_id),
    )
    expect(engine.seen.filter(({ state }) => state === 'running')).toEqual([])
    expect((await app.inject({ method: 'POST', url: `/v1/batches/${begun.id}/cancel` })).statusCode).toBe(400)
    expect((await app.inject({ method: 'DELETE', url: `/v1/files/${begun.input_file_id}` })).statusCode).toBe(200)
  })

  it('expires', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'], shouldAdvanceTime: true })
    try {
      const { app } = open({ engine: { pace: () => new Promise<void>(() => undefined) } })
      const begun = await start(app, jsonl(lines.slice(0, 3)))
      await until(app, begun, ({ status }) => status === 'in_progress')
      await vi.advanceTimersByTimeAsync(86_400_000)
      const batch = await untilEnd(app, begun)
      expect(batch).toMatchObject({ status: 'expired', expired_at: expect.any(Number), output_file_id: null })
      expect(await resultsOf(app, batch.error_file_id)).toMatchObject(
        Array.from({ length: 3 }, () => ({ error: { code: 'batch_expired' } })),
      )
    } finally {
      vi.useRealTimers()
    }
  })

  it('goes on after a stop, and after a kill in the middle of a write', async () => {
    const { app, folder } = open({ engine: pace(10), batches: { maxRequests: 4 } })
    const begun = await start(app, jsonl(lines))
    await until(app, begun, ({ request_counts: { completed } }) => completed >= 5)
    await app.close()
    const [output] = (await readdir(path.join(folder, 'files'))).filter(
      (name) => name.endsWith('.jsonl') && name !== `${begun.input_file_id}.jsonl`,
    )
    const sizes = await Promise.all(
      (await readdir(path.join(folder, 'files'))).map(
        async (name) => [name, (await readFile(path.join(folder, 'files', name))).length] as const,
      ),
    )
    expect(output).toBeDefined()
    for (const [name, size] of sizes)
      if (size > 0 && name.endsWith('.jsonl') && name !== `${begun.input_file_id}.jsonl`)
        await appendFile(path.join(folder, 'files', name), '{"id":"batch_req_half')
    const { app: again, engine } = open({ batches: { folder } })
    await again.ready()
    const resumed = batchSchema.parse((await again.inject(`/v1/batches/${begun.id}`)).json())
    expect(resumed.request_counts.completed).toBeGreaterThanOrEqual(5)
    const batch = await untilEnd(again, begun)
    expect(batch).toMatchObject({
      id: begun.id,
      status: 'completed',
      request_counts: { total: 30, completed: 30, failed: 0 },
    })
    expect((await resultsOf(again, batch.output_file_id)).map(({ custom_id }) => custom_id)).toEqual(
      lines.map(({ custom_id }) => custom_id),
    )
    expect(engine.seen.length).toBeLessThanOrEqual(25)
    await again.close()
    const { app: third } = open({ batches: { folder } })
    expect((await third.inject(`/v1/batches/${begun.id}`)).json()).toEqual(batch)
  })

  it('asks again where the server is busy', async () => {
    let numRefused = 0
    const { app, engine } = open()
    const { generate } = engine
    engine.generate = async function* (...args) {
      if (numRefused++ < 2) throw new EngineOverloadedError('busy')
      yield* generate.apply(engine, args)
    }
    const batch = await untilEnd(app, await start(app, jsonl(lines.slice(0, 1))))
    expect([batch.request_counts.completed, numRefused]).toEqual([1, 3])
  })

  it('keeps to the limits of its key, and waits for them', async () => {
    const { app, engine } = open({ apiKeys: [{ key: 'a', maxConcurrentRequests: 2 }], engine: pace(1) })
    const headers = { authorization: 'Bearer a' }
    const batch = await untilEnd(app, await start(app, jsonl(lines.slice(0, 5)), { headers }), headers)
    expect(batch.request_counts).toEqual({ total: 5, completed: 5, failed: 0 })
    expect(engine.seen).toHaveLength(5)
  })

  it('is served under a prefix, within another program', async () => {
    const engine = new FakeEngine()
    const app = Fastify()
    apps.push(app)
    await app.register(octavoPlugin, { engine, prefix: '/llm', batches: { folder: path.join(root, 'plugin') } })
    const form = await formRequest(jsonl(lines.slice(0, 2)))
    const file = (await app.inject({ method: 'POST', url: '/llm/v1/files', ...form })).json()
    const payload = { input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h' }
    const begun = (await app.inject({ method: 'POST', url: '/llm/v1/batches', payload })).json()
    const counts = async () => (await app.inject(`/llm/v1/batches/${begun.id}`)).json().request_counts
    await vi.waitUntil(async () => (await counts()).completed === 2)
  })

  it('leaves room for those who wait for answers', async () => {
    const { app, engine } = open({ engine: pace(5), batches: { maxRequests: 8 } })
    const running = () => engine.seen.filter(({ state }) => state === 'running').length
    const many = Array.from({ length: 1000 }, (_, i) => chat(`r${i}`, 'one two three four END', { max_tokens: 20 }))
    const begun = await start(app, jsonl(many))
    await until(app, begun, ({ status }) => status === 'in_progress')
    await vi.waitUntil(() => running() === 8)
    engine.numWaitingSeqs = 1
    await vi.waitUntil(() => running() === 1)
    await sleep(100)
    expect(running()).toBe(1)
    engine.numWaitingSeqs = 0
    await vi.waitUntil(() => running() === 8)
    const slow = app.inject({ method: 'POST', url: '/v1/completions', payload: { prompt: 'a b c', max_tokens: 60 } })
    await vi.waitUntil(() => running() === 3)
    await slow
    await vi.waitUntil(() => running() === 8)
    await app.inject({ method: 'POST', url: `/v1/batches/${begun.id}/cancel` })
    await untilEnd(app, begun)
  })

  it('is temporary where no folder is given', async () => {
    const { app } = open({ batches: { folder: undefined } })
    const batch = await untilEnd(app, await start(app, jsonl(lines.slice(0, 2))))
    expect(batch.status).toBe('completed')
    const temporary = async () => (await readdir(tmpdir())).filter((name) => name.startsWith('octavo-batches-'))
    const before = await temporary()
    await app.close()
    expect((await temporary()).length).toBe(before.length - 1)
  })
})
