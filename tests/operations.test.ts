import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import type { RequestOptions } from 'node:https'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, it } from 'vitest'
import { makeCertificates } from '../packages/server/src/testing/certificates.ts'
import { octavo, type Program, serveTiny } from './program.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'octavo-operations-'))
afterAll(() => rmSync(folder, { recursive: true }))

function fileWith(name: string, content: string): string {
  const file = path.join(folder, name)
  writeFileSync(file, content)
  return file
}

function complete(url: string, body: object = {}, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ prompt: 'One two three', temperature: 0, ignore_eos: true, max_tokens: 4, ...body }),
  })
}

async function serve(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ program: Program; url: string }> {
  const program = octavo(['serve', ...args], { env })
  const [, url = ''] = await program.waitFor(/ at (https?:\S+)\/v1/)
  return { program, url }
}

const statusOf = async (url: string, headers: Record<string, string> = {}): Promise<number> =>
  (await fetch(url, { headers })).status

describe('configuration', () => {
  it('comes from a file, variables and flags, is shown at the start, and no key is ever', async () => {
    const keys = fileWith('keys.yaml', '- {name: alice, key: planted-alice, requests-per-minute: 2}')
    const config = fileWith(
      'octavo.yaml',
      `model: octavo-tiny\nport: 0\nmax-num-seqs: 4\nmax-model-len: 512\napi-key-file: ${keys}`,
    )
    const env = {
      OCTAVO_MAX_NUM_SEQS: '3',
      OCTAVO_API_KEY: 'planted-env',
      OCTAVO_ADMIN_API_KEY: 'planted-admin',
      OCTAVO_APIKEY: 'planted-typo',
    }
    const { program, url } = await serve(['--config', config, '--max-model-len', '256'], env)
    await using server = program
    for (const line of [
      /model +octavo-tiny +\S+octavo\.yaml/,
      /max-num-seqs +3 +OCTAVO_MAX_NUM_SEQS/,
      /max-model-len +256 +--max-model-len/,
      /api-key +1 \(hidden\) +OCTAVO_API_KEY/,
    ])
      expect(server.stderr).toMatch(line)
    expect(server.stderr).toContain('OCTAVO_APIKEY, which is no option; the nearest is OCTAVO_API_KEY')

    const alice = { authorization: 'Bearer planted-alice' }
    const answers = await Promise.all([complete(url, {}, alice), complete(url, {}, alice)])
    expect(answers.map(({ status }) => status)).toEqual([200, 200])
    const third = await complete(url, {}, alice)
    expect([third.status, third.headers.get('x-ratelimit-limit-requests')]).toEqual([429, '2'])
    expect(Number(third.headers.get('retry-after'))).toBeGreaterThan(20)
    expect((await complete(url, {}, { 'x-api-key': 'planted-env' })).status).toBe(200)
    const wrong = await complete(url, {}, { 'x-api-key': 'planted-wrong' })
    expect(wrong.status).toBe(401)

    // Another key in the file holds from the next look at it on; a broken file changes nothing.
    writeFileSync(keys, '- planted-bob')
    await server.waitFor(/API keys read again/)
    expect((await complete(url, {}, alice)).status).toBe(401)
    writeFileSync(keys, '- {planted')
    server.kill('SIGHUP')
    await server.waitFor(/API keys not read again/)
    expect((await complete(url, {}, { 'x-api-key': 'planted-bob' })).status).toBe(200)
    const metrics = await (await fetch(`${url}/metrics`, { headers: { 'x-api-key': 'planted-bob' } })).text()
    for (const said of [server.stderr, server.stdout, metrics, await wrong.text(), await third.text()])
      expect(said).not.toContain('planted')
    server.kill('SIGTERM')
    expect(await server.exitCode).toBe(0)
  })

  it('may name several models', async () => {
    const config = fileWith(
      'models.yaml',
      'port: 0\nkv-cache-memory: 8MiB\nmodels:\n- {model: octavo-tiny, served-model-name: one}\n- {model: octavo-tiny, served-model-name: two, max-model-len: 128}',
    )
    const { program, url } = await serve(['--config', config])
    await using _ = program
    const { data } = (await (await fetch(`${url}/v1/models`)).json()) as {
      data: { id: string; max_model_len: number }[]
    }
    expect(data.map(({ id, max_model_len }) => [id, max_model_len])).toEqual([
      ['one', 1024],
      ['two', 128],
    ])
    for (const model of ['one', 'two', 'three'])
      expect((await complete(url, { model })).status).toBe(model === 'three' ? 404 : 200)
  })

  it('makes a key whose hash opens the door', async () => {
    await using maker = octavo(['key', '--name', 'bob', '--json'])
    expect(await maker.exitCode).toBe(0)
    const { name, key, sha256 } = JSON.parse(maker.stdout) as Record<string, string>
    const { program, url } = await serveTiny([
      '--api-key-file',
      fileWith('hash.json', JSON.stringify([{ name, sha256 }])),
    ])
    await using _ = program
    expect(await statusOf(`${url}/v1/models`, { authorization: `Bearer ${key}` })).toBe(200)
    expect(await statusOf(`${url}/v1/models`, { authorization: `Bearer ${sha256}` })).toBe(401)
  })
})

describe('TLS', () => {
  const { ca, server, client, stranger } = makeCertificates()
  const key = fileWith('server.key', server.key)
  const cert = fileWith('server.pem', server.cert)
  const flags = ['octavo-tiny', '--port', '0', '--ssl-keyfile', key, '--ssl-certfile', cert]

  function ask(url: string, options: RequestOptions): Promise<string> {
    return new Promise((resolve) => {
      request(`${url}/v1/models`, { agent: false, ...options }, (response) => void text(response).then(resolve))
        .once('error', (error) => resolve('code' in error ? String(error.code) : error.message))
        .end()
    })
  }

  it('is served, and new certificates are taken while it runs', async () => {
    const { program, url } = await serve(flags)
    await using running = program
    expect(url).toMatch(/^https:/)
    expect(await ask(url, { ca })).toContain('octavo-tiny')
    const other = makeCertificates()
    writeFileSync(key, other.server.key)
    writeFileSync(cert, other.server.cert)
    await running.waitFor(/certificates read again/)
    await expect.poll(() => ask(url, { ca: other.ca }), { timeout: 10_000 }).toContain('octavo-tiny')
    writeFileSync(key, server.key)
    writeFileSync(cert, server.cert)
  })

  it('asks clients for certificates of an authority', async () => {
    const { program, url } = await serve([...flags, '--ssl-ca-certs', fileWith('ca.pem', ca)])
    await using _ = program
    expect(await ask(url, { ca, ...client })).toContain('octavo-tiny')
    for (const shown of [{}, stranger]) expect(await ask(url, { ca, ...shown })).toMatch(/^(ERR_SSL|ECONNRESET|EPIPE)/)
  })

  it.each([
    [['--ssl-keyfile', key], '--ssl-certfile: is missing'],
    [['--ssl-keyfile', '/no/such', '--ssl-certfile', cert], '--ssl-keyfile: /no/such cannot be read (ENOENT)'],
    [['--ssl-keyfile', cert, '--ssl-certfile', cert], 'key and certificates cannot be used'],
  ])('refuses %j before it loads anything', async (args, said) => {
    await using program = octavo(['serve', 'octavo-tiny', ...args])
    expect(await program.exitCode).toBe(2)
    expect(program.stderr).toContain(said)
    expect(program.stderr).not.toContain('loading')
  })
})

describe('SIGTERM under load', () => {
  it('takes /ready away, goes on for a while, and lets what runs finish', async () => {
    const { program, url } = await serveTiny(['--drain-delay', '1.5', '--max-num-seqs', '4'])
    await using server = program
    const streams = Array.from({ length: 8 }, () =>
      complete(url, { stream: true, max_tokens: 300 }).then((response) => response.text()),
    )
    await expect.poll(() => statusOf(`${url}/ready`)).toBe(200)
    server.kill('SIGTERM')
    await server.waitFor(/stopping/)
    expect(await Promise.all(['/ready', '/health'].map((name) => statusOf(url + name)))).toEqual([503, 200])
    const late = await complete(url)
    expect(late.status).toBe(200)
    for (const body of await Promise.all(streams)) {
      expect(body).toContain('"finish_reason":"length"')
      expect(body.trim().endsWith('data: [DONE]')).toBe(true)
    }
    expect(await server.exitCode, server.stderr).toBe(0)
  })

  it('ends what still runs after the timeout with an event that says so', async () => {
    const { program, url } = await serveTiny(['--shutdown-timeout', '0.2'])
    await using server = program
    const response = await complete(url, { stream: true, max_tokens: 1000 })
    const body = response.text()
    server.kill('SIGTERM')
    expect(await body).toMatch(/data: \{"error":\{"message":"The server is shutting down; the request was aborted\."/)
    expect((await body).trim().endsWith('data: [DONE]')).toBe(true)
    expect(await server.exitCode, server.stderr).toBe(0)
  })
})

describe('more requests than there is room for', () => {
  /** What was said, by how long it took until a request was taken. */
  async function measure(url: string, afterMs: number): Promise<number> {
    const load = [900, 700, 500, 300].map(async (tokens) =>
      (await complete(url, { max_tokens: tokens, stream: true })).text(),
    )
    await sleep(afterMs)
    const refused = await complete(url)
    expect(refused.status).toBe(503)
    const saidMs = Number(refused.headers.get('retry-after-ms'))
    const refusedAt = performance.now()
    for (;;) {
      const askedAt = performance.now()
      const { status } = await complete(url, { max_tokens: 1 })
      if (status === 503) continue
      await Promise.all(load)
      return saidMs / (askedAt - refusedAt)
    }
  }

  it('are told when to come again, within a factor of two', async () => {
    const { program, url } = await serveTiny(['--max-num-seqs', '2', '--max-queued-seqs', '2', '--no-request-log'])
    await using _ = program
    const ratios: number[] = []
    for (const afterMs of [300, 50, 100, 150, 200, 250]) ratios.push(await measure(url, afterMs))
    console.log(`said / true: ${ratios.map((ratio) => ratio.toFixed(2)).join(' ')}`)
    const sorted = ratios.toSorted((one, other) => one - other)
    for (const ratio of [sorted[2]!, sorted[3]!]) {
      expect(ratio).toBeGreaterThan(0.5)
      expect(ratio).toBeLessThan(2)
    }
  })
})

describe('readers that take nothing', () => {
  it('hold no memory that grows, and nobody up', async () => {
    const { program, url } = await serveTiny(['--max-num-seqs', '32', '--no-request-log'])
    await using server = program
    await Promise.all(Array.from({ length: 32 }, async () => (await complete(url, { max_tokens: 200 })).text()))
    const before = residentBytes(server.pid)
    const body = JSON.stringify({ prompt: 'Hi', max_tokens: 900, ignore_eos: true, stream: true, logprobs: 5, n: 2 })
    const sockets = Array.from({ length: 200 }, () => slowReader(url, body))
    let peak = 0
    for (let i = 0; i < 30; i++) {
      await sleep(500)
      peak = Math.max(peak, residentBytes(server.pid))
      expect(await statusOf(`${url}/health`)).toBe(200)
    }
    for (const socket of sockets) socket.destroy()
    console.log(`${Math.round((peak - before) / 2 ** 20)} MiB more with 200 readers that take nothing`)
    expect((peak - before) / 2 ** 20, 'MiB more').toBeLessThan(256)
    await expect.poll(async () => (await complete(url)).status, { timeout: 30_000 }).toBe(200)
  })
})

function slowReader(url: string, body: string): Socket {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
    .on('error', () => undefined)
    .pause()
  socket.write(
    `POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  )
  return socket
}

function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
}
