import { once } from 'node:events'
import { connect } from 'node:net'
import type { ResponseObject } from '@octavo/sdk/protocol'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type AppOptions, createApp } from '../../app.ts'
import { listen } from '../../listen.ts'
import { FakeEngine, type FakeEngineOptions } from '../../testing/fake-engine.ts'
import { followResponse, readResponseEvents } from '../../testing/response-events.ts'
import { createMemoryResponseStore } from './memory-response-store.ts'
import type { ResponseStore } from './response-store.ts'

const cleanups: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

/** A pace that lets as many tokens through as it is told. */
class Gate {
  #open = 0
  #waiting: (() => void)[] = []
  numWaiting = 0
  readonly pace = async (): Promise<void> => {
    if (this.#open > 0) return void this.#open--
    this.numWaiting++
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }
  let(numTokens = Infinity): void {
    this.#open += numTokens
    for (const pass of this.#waiting.splice(0, this.#open)) {
      this.#open--
      pass()
    }
  }
}

function open(engineOptions: FakeEngineOptions = {}, options: Partial<AppOptions> = {}) {
  const engine = new FakeEngine({ parses: true, ...engineOptions })
  const app = createApp({ engine, version: '0', drainTimeoutMs: 0, ...options })
  cleanups.push(() => app.close())
  const ask = async (
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    { payload, key }: { payload?: object; key?: string } = {},
  ) => {
    const headers = key === undefined ? {} : { authorization: `Bearer ${key}` }
    const response = await app.inject({ method, url: `/v1/responses${path}`, headers, ...(payload && { payload }) })
    return { status: response.statusCode, body: response.body, json: () => response.json() as ResponseObject }
  }
  const create = async (payload: object, key?: string): Promise<ResponseObject> => {
    const response = await ask('POST', '', {
      payload: { temperature: 0, ...payload },
      ...(key !== undefined && { key }),
    })
    if (response.status !== 200) throw new Error(response.body)
    return response.json()
  }
  const until = (id: string, status: string) =>
    vi.waitFor(async () => expect((await ask('GET', `/${id}`)).json().status).toBe(status))
  return { engine, app, ask, create, until }
}

describe('another tenant', () => {
  it('finds nothing of a response, under any name', async () => {
    const gate = new Gate()
    const { ask, create } = open({ pace: gate.pace }, { apiKeys: ['mine', 'theirs'] })
    gate.let()
    const { id, output } = await create({ input: 'one END' }, 'mine')
    const running = await create({ input: 'one END', background: true, stream: false }, 'mine')
    for (const name of [id, running.id]) {
      for (const [method, path] of [
        ['GET', ''],
        ['GET', '?stream=true'],
        ['GET', '/input_items'],
        ['POST', '/cancel'],
        ['DELETE', ''],
      ] as const)
        expect(await ask(method, `/${name}${path}`, { key: 'theirs' })).toMatchObject({ status: 404 })
      const payload = { input: 'a', previous_response_id: name }
      expect(await ask('POST', '', { payload, key: 'theirs' })).toMatchObject({ status: 404 })
    }
    for (const item of [output[0]!.id, output[0]!.id.replace(/_0$/, '_i0')]) {
      const payload = { input: [{ type: 'item_reference', id: item }] }
      expect(await ask('POST', '', { payload, key: 'theirs' })).toMatchObject({ status: 404 })
      expect(await ask('POST', '', { payload, key: 'mine' })).toMatchObject({ status: 200 })
    }
    expect((await ask('GET', `/${id}`, { key: 'mine' })).status).toBe(200)
    expect((await ask('GET', `/${id}`)).status).toBe(401)
  })

  it('may have a response of the same id', async () => {
    const { ask, create } = open({}, { apiKeys: ['mine', 'theirs'] })
    await create({ input: 'one END', request_id: 'same' }, 'mine')
    await create({ input: 'two END', request_id: 'same' }, 'theirs')
    expect((await ask('GET', '/resp_same/input_items', { key: 'mine' })).body).toContain('one')
    expect((await ask('DELETE', '/resp_same', { key: 'mine' })).status).toBe(200)
    expect((await ask('GET', '/resp_same/input_items', { key: 'theirs' })).body).toContain('two')
  })
})

describe('a conversation', () => {
  it('goes on from a response, whatever becomes of those before it; instructions do not', async () => {
    const { engine, ask, create } = open()
    const first = await create({ input: 'one END', instructions: 'First rules.' })
    const second = await create({ input: 'two END', previous_response_id: first.id })
    expect((await ask('DELETE', `/${first.id}`)).status).toBe(200)
    await create({ input: 'END', previous_response_id: second.id, instructions: 'Other rules.' })
    const { prompt } = engine.seen.at(-1)!.request
    const texts = prompt.type === 'chat' ? prompt.messages.map(({ content }) => content) : []
    expect(texts).toEqual(['Other rules.', 'one END', 'First rules. one', 'two END', expect.any(String), 'END'])
    const payload = { input: 'a', previous_response_id: first.id }
    expect(await ask('POST', '', { payload })).toMatchObject({ status: 404 })
  })

  it('can go on without new input', async () => {
    const { create } = open()
    const { id } = await create({ input: 'one END' })
    expect((await create({ previous_response_id: id })).status).toBe('completed')
  })

  it('does not go round in circles where ids are used again', async () => {
    const { ask, create } = open()
    await create({ input: 'a END', request_id: 'a' })
    await create({ input: 'b END', request_id: 'b', previous_response_id: 'resp_a' })
    await ask('DELETE', '/resp_a')
    await create({ input: 'c END', request_id: 'a', previous_response_id: 'resp_b' })
    expect((await create({ input: 'END', previous_response_id: 'resp_a' })).usage?.input_tokens).toBeLessThan(30)
  })

  it('has a limit of items, along the chain too', async () => {
    const { ask, create } = open({ maxModelLen: 100_000 })
    const input = Array.from({ length: 2000 }, () => ({ role: 'user', content: 'END' }))
    const first = await create({ input })
    const second = await create({ input, previous_response_id: first.id })
    const response = await ask('POST', '', { payload: { input, previous_response_id: second.id } })
    expect(response).toMatchObject({ status: 400, body: expect.stringContaining('4096') })
  })

  it('has a limit of bytes, however it came to them', async () => {
    const { ask, create } = open({ maxModelLen: 100_000 })
    const { id } = await create({ input: `${'x'.repeat(5_000_000)} END`, max_output_tokens: 1 })
    const item = { type: 'item_reference', id: `${id.replace('resp_', 'msg_')}_i0` }
    const response = await ask('POST', '', { payload: { input: [item, item, item, item, item, item, item] } })
    expect(response).toMatchObject({ status: 400, body: expect.stringContaining('32.0 MiB') })
    // What a response says again of its request is no part of the conversation.
    const instructions = `END ${'y'.repeat(9_000_000)}`
    let last = (await create({ input: 'END', instructions })).id
    for (let i = 0; i < 4; i++) last = (await create({ input: 'END', instructions, previous_response_id: last })).id
  })

  it('refers to items, as far as they are kept', async () => {
    const { engine, ask, create } = open()
    const { output } = await create({ input: '~think one END' })
    const [reasoning, message] = output.map(({ id }) => ({ type: 'item_reference', id }))
    await create({
      input: [{ role: 'user', content: 'first' }, reasoning, { id: message!.id }, { role: 'user', content: 'END' }],
    })
    const { prompt } = engine.seen.at(-1)!.request
    expect(prompt).toMatchObject({
      messages: [{ content: 'first' }, { role: 'assistant', reasoning: 'think', content: ' one' }, { content: 'END' }],
    })
    for (const id of ['msg_1', 'msg_none_0', message!.id.replace(/_1$/, '_7'), 'x'.repeat(256)]) {
      const response = await ask('POST', '', { payload: { input: [{ type: 'item_reference', id }] } })
      expect(response).toMatchObject({ status: 404, body: expect.stringContaining('input.0.id') })
    }
  })

  it('lists its own input, page by page', async () => {
    const { ask, create } = open()
    const first = await create({ input: 'before END' })
    const input = [
      { role: 'user', content: 'a' },
      { type: 'function_call', call_id: 'c', name: 'f', arguments: '{}' },
      { type: 'function_call_output', call_id: 'c', output: 'x' },
      { id: 'msg_mine', role: 'user', content: 'END' },
    ]
    const { id } = await create({ input, previous_response_id: first.id })
    const list = async (query: string) => (await ask('GET', `/${id}/input_items${query}`)).json() as unknown
    const all = (await list('?order=asc')) as { data: { id: string; type: string }[] }
    expect(all.data.map(({ type }) => type)).toEqual(['message', 'function_call', 'function_call_output', 'message'])
    expect(all.data[3]?.id).toBe('msg_mine')
    expect(await list('?limit=2')).toMatchObject({
      data: [{ id: 'msg_mine' }, {}],
      has_more: true,
      first_id: 'msg_mine',
    })
    expect(await list('?limit=2&after=msg_mine')).toMatchObject({ data: [{}, {}], has_more: true })
    expect(await list(`?order=asc&after=${all.data[2]!.id}`)).toMatchObject({
      data: [{ id: 'msg_mine' }],
      has_more: false,
    })
    expect(await list('?order=asc&after=msg_mine')).toMatchObject({ data: [], first_id: null, has_more: false })
    for (const query of ['?limit=0', '?limit=101', '?limit=x', '?order=up', '?after=none', '?include=all'])
      expect((await ask('GET', `/${id}/input_items${query}`)).status).toBe(400)
    expect((await ask('GET', `/${id}/input_items?include[]=message.output_text.logprobs`)).status).toBe(200)
  })
})

describe('ids that there are not', () => {
  it.each([
    ['GET', '/resp_none'],
    ['GET', '/resp_none?stream=true'],
    ['GET', '/resp_none/input_items'],
    ['POST', '/resp_none/cancel'],
    ['DELETE', '/resp_none'],
    ['GET', `/${'x'.repeat(90)}`],
    ['GET', '/%00'],
    ['GET', '/..%2f..'],
  ] as const)('%s %s is a 404', async (method, path) => {
    expect(await open().ask(method, path)).toMatchObject({ status: 404 })
  })

  it('are cancelled and deleted as clients do it, that name a type of the body they do not send', async () => {
    const { app } = open()
    const headers = { 'content-type': 'application/json' }
    for (const payload of ['', '{}', '{"a":']) {
      expect((await app.inject({ method: 'DELETE', url: '/v1/responses/x', headers, payload })).statusCode).toBe(404)
      expect((await app.inject({ method: 'POST', url: '/v1/responses/x/cancel', headers, payload })).statusCode).toBe(
        404,
      )
    }
  })
})

describe('in the background', () => {
  const slow = { input: 'one two three END', background: true }

  it('is queued, then in progress, then complete, and can be polled', async () => {
    const gate = new Gate()
    const { create, ask, until } = open({ pace: gate.pace })
    const { id, status } = await create(slow)
    expect(status).toBe('queued')
    const payload = { input: 'a', previous_response_id: id }
    expect(await ask('POST', '', { payload })).toMatchObject({ status: 400, body: expect.stringContaining('queued') })
    gate.let(2)
    await until(id, 'in_progress')
    expect((await ask('GET', `/${id}`)).json().output).toMatchObject([
      { status: 'in_progress', content: [{ text: 'one two' }] },
    ])
    gate.let()
    await until(id, 'completed')
    expect((await ask('GET', `/${id}`)).json().output).toMatchObject([
      { status: 'completed', content: [{ text: 'one two three' }] },
    ])
    expect((await ask('GET', `/${id}?stream=true`)).status).toBe(400)
    expect((await create({ input: 'END', previous_response_id: id })).status).toBe('completed')
  })

  it('is streamed, and again from any event on', async () => {
    const { app, ask } = open()
    const first = await app.inject({
      method: 'POST',
      url: '/v1/responses',
      payload: { ...slow, temperature: 0, stream: true },
    })
    const events = readResponseEvents(first.body)
    const { id } = followResponse(events)!
    expect(events.slice(0, 3).map(({ type }) => type)).toEqual([
      'response.created',
      'response.queued',
      'response.in_progress',
    ])
    const from = async (query: string) => readResponseEvents((await ask('GET', `/${id}?stream=true${query}`)).body)
    expect(await from('')).toEqual(events)
    expect(await from('&starting_after=0')).toEqual(events.slice(1))
    expect(await from(`&starting_after=${events.length - 2}`)).toEqual(events.slice(-1))
    for (const beyond of [events.length - 1, events.length + 5, 999_999_999_999_999])
      expect(await from(`&starting_after=${beyond}`)).toEqual([])
    for (const query of [
      '?starting_after=1',
      '?stream=true&starting_after=-1',
      '?stream=true&starting_after=x',
      '?stream=yes',
    ])
      expect((await ask('GET', `/${id}${query}`)).status).toBe(400)
  })

  it('is followed by several, and survives each of them', async () => {
    const gate = new Gate()
    const { app, engine, until } = open({ pace: gate.pace })
    const server = await listen(app, { port: 0 })
    const socket = connect(server.port, '127.0.0.1')
    const body = JSON.stringify({ ...slow, stream: true, temperature: 0 })
    const type = 'Host: localhost\r\nContent-Type: application/json'
    socket.write(`POST /v1/responses HTTP/1.1\r\n${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
    let told = ''
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
      told += String(chunk)
      if (told.includes('response.queued')) break
    }
    const id = /"id":"(resp_[0-9a-f]+)"/.exec(told)![1]!
    socket.destroy()
    await once(socket, 'close')
    const follower = fetch(`${server.url}/v1/responses/${id}?stream=true&starting_after=1`).then((response) =>
      response.text(),
    )
    gate.let()
    await until(id, 'completed')
    expect(await follower).toContain('response.completed')
    expect(engine.seen.map(({ state }) => state)).toEqual(['finished'])
  })

  it('is cancelled once or twice, with what there is, and whoever follows it hears the end', async () => {
    const gate = new Gate()
    const { create, ask, engine, until } = open({ pace: gate.pace })
    const id = 'resp_mine'
    const followed = ask('POST', '', { payload: { ...slow, temperature: 0, stream: true, request_id: id } })
    await vi.waitFor(() => expect(gate.numWaiting).toBe(1))
    gate.let(1)
    await until(id, 'in_progress')
    const cancelled = (await ask('POST', `/${id}/cancel`)).json()
    expect(cancelled).toMatchObject({
      status: 'cancelled',
      output: [{ status: 'incomplete', content: [{ text: 'one' }] }],
    })
    expect((await ask('POST', `/${id}/cancel`)).json()).toEqual(cancelled)
    expect((await ask('GET', `/${id}`)).json()).toEqual(cancelled)
    expect(engine.seen[0]?.state).toBe('aborted')
    const events = readResponseEvents((await followed).body)
    expect(followResponse(events)).toBeNull()
    expect(events.at(-1)).toMatchObject({ type: 'response.output_text.delta', delta: 'one' })
    gate.let()
    const { id: other } = await create({ input: 'one END' })
    expect((await ask('POST', `/${other}/cancel`)).status).toBe(400)
  })

  it('is deleted while it runs, and stays so', async () => {
    const gate = new Gate()
    const { create, ask, engine } = open({ pace: gate.pace })
    const { id } = await create(slow)
    await vi.waitFor(() => expect(gate.numWaiting).toBe(1))
    expect((await ask('DELETE', `/${id}`)).status).toBe(200)
    expect((await ask('GET', `/${id}`)).status).toBe(404)
    await vi.waitFor(() => expect(engine.seen[0]?.state).toBe('aborted'))
    await new Promise((resolve) => setImmediate(resolve))
    expect((await ask('GET', `/${id}`)).status).toBe(404)
    expect((await ask('DELETE', `/${id}`)).status).toBe(404)
  })

  it('a hundred at once', async () => {
    const { create, until } = open()
    const all = await Promise.all(Array.from({ length: 100 }, () => create(slow)))
    expect(new Set(all.map(({ id }) => id)).size).toBe(100)
    for (const { id } of all) await until(id, 'completed')
  })

  it('not more at once than one tenant may have', async () => {
    const gate = new Gate()
    const { create, ask } = open({ pace: gate.pace }, { apiKeys: ['mine', 'theirs'] })
    for (let i = 0; i < 256; i++) await create(slow, 'mine')
    expect(await ask('POST', '', { payload: slow, key: 'mine' })).toMatchObject({ status: 429 })
    expect((await create(slow, 'theirs')).status).toBe('queued')
  })

  it('tells a failure of the engine, and what it refuses', async () => {
    const { create, ask, until } = open({ failure: { atToken: 1, error: new Error('planted') } })
    const { id } = await create(slow)
    await until(id, 'failed')
    const response = await ask('GET', `/${id}`)
    expect(response.json().error).toMatchObject({ code: 'server_error' })
    expect(response.body).not.toContain('planted')
    const small = open({ maxModelLen: 4 })
    const long = await small.create({ input: 'word '.repeat(9), background: true })
    await small.until(long.id, 'failed')
    expect((await small.ask('GET', `/${long.id}`)).json().error).toMatchObject({ code: 'invalid_prompt' })
  })

  it('ends with the server, which says so in the store', async () => {
    const store = createMemoryResponseStore()
    const gate = new Gate()
    const { app, create } = open({ pace: gate.pace }, { responseStore: store, drainTimeoutMs: 20 })
    const { id } = await create(slow)
    await vi.waitFor(() => expect(gate.numWaiting).toBe(1))
    await app.close()
    expect((await store.get(null, id))?.response).toMatchObject({
      status: 'failed',
      error: { message: expect.stringContaining('shutting down') },
    })
  })
})

it('a client that vanishes in mid-stream ends its response, and nothing is kept', async () => {
  const gate = new Gate()
  const kept: unknown[] = []
  const store: ResponseStore = { get: () => null, put: (_, stored) => (kept.push(stored), true), delete: () => false }
  const { app, engine } = open({ pace: gate.pace }, { responseStore: store })
  const server = await listen(app, { port: 0 })
  const stop = new AbortController()
  gate.let(2)
  const response = await fetch(`${server.url}/v1/responses`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input: 'one two three END', stream: true }),
    signal: stop.signal,
  })
  await response.body!.getReader().read()
  stop.abort()
  await vi.waitFor(() => expect(engine.seen[0]?.state).toBe('aborted'))
  expect(kept).toEqual([])
})

describe('a store of one’s own', () => {
  it('that has no room is no reason to lose an answer, and the answer says so', async () => {
    const full: ResponseStore = { get: () => null, put: () => false, delete: () => false }
    const { create, ask } = open({}, { responseStore: full })
    const response = await create({ input: 'one END' })
    expect(response).toMatchObject({ status: 'completed', store: false })
    expect(await ask('POST', '', { payload: { input: 'one END', background: true } })).toMatchObject({ status: 413 })
  })

  it('that fails neither', async () => {
    const fail = () => Promise.reject(new Error('the disk is full'))
    const { create, ask } = open({}, { responseStore: { get: fail, put: fail, delete: fail } })
    expect(await create({ input: 'one END' })).toMatchObject({ status: 'completed', store: false })
    expect(await ask('POST', '', { payload: { input: 'one END', background: true } })).toMatchObject({ status: 500 })
    expect(await ask('GET', '/resp_x')).toMatchObject({ status: 500, body: expect.not.stringContaining('disk') })
  })

  it('gets what JSON can write', async () => {
    const texts = new Map<string, string>()
    const nameOf = (tenant: string | null, id: string) => JSON.stringify([tenant, id])
    const store: ResponseStore = {
      get: async (tenant, id) => JSON.parse(texts.get(nameOf(tenant, id)) ?? 'null'),
      put: async (tenant, stored) => (texts.set(nameOf(tenant, stored.response.id), JSON.stringify(stored)), true),
      delete: async (tenant, id) => texts.delete(nameOf(tenant, id)),
    }
    const { create, ask, until } = open({}, { responseStore: store })
    const first = await create({ input: '~think one !f {"a":1} END' })
    const second = await create({ input: 'END', previous_response_id: first.id, background: true, stream: false })
    await until(second.id, 'completed')
    expect((await ask('GET', `/${first.id}`)).json()).toEqual(first)
    expect(second.previous_response_id).toBe(first.id)
    expect((await ask('DELETE', `/${first.id}`)).status).toBe(200)
    expect(texts.size).toBe(1)
  })
})

describe('ids that requests choose', () => {
  it('are given to one response, also where several come at once', async () => {
    const { ask } = open()
    const payload = { input: 'one two END', request_id: 'mine', background: true, temperature: 0 }
    const answers = await Promise.all(Array.from({ length: 5 }, () => ask('POST', '', { payload })))
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 400, 400, 400, 400])
  })

  it('may be as long as an id may be', async () => {
    const { ask, create } = open()
    const { id } = await create({ input: 'one END', request_id: 'a'.repeat(128) })
    expect((await ask('GET', `/${id}`)).json()).toMatchObject({ id, status: 'completed' })
  })
})
