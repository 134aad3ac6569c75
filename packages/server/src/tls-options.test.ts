import { get } from 'node:https'
import type { RequestOptions } from 'node:https'
import { text } from 'node:stream/consumers'
import { InvalidConfigError } from '@octavo/core'
import { afterEach, expect, it } from 'vitest'
import { createApp } from './app.ts'
import { listen, type RunningServer } from './listen.ts'
import { makeCertificates } from './testing/certificates.ts'
import { FakeEngine } from './testing/fake-engine.ts'
import { renewTls, type TlsOptions } from './tls-options.ts'

const { ca, server, client, stranger } = makeCertificates()

const servers: RunningServer[] = []
afterEach(async () => {
  for (const one of servers.splice(0)) await one.close()
})

async function serve(tls: TlsOptions) {
  const app = createApp({ engine: new FakeEngine(), drainTimeoutMs: 0, tls })
  const running = await listen(app, { port: 0 })
  servers.push(running)
  return { app, running }
}

/** The body, or why there was none. */
function ask({ url }: RunningServer, options: RequestOptions): Promise<string> {
  return new Promise((resolve) => {
    get(
      `${url}/version`,
      { agent: false, ...options },
      (response) => void text(response).then(resolve, () => resolve('broken')),
    ).once('error', (error) => resolve('code' in error ? String(error.code) : error.message))
  })
}

it('serves over TLS, and nothing older than 1.2', async () => {
  const { running } = await serve(server)
  expect(running.url).toMatch(/^https:/)
  expect(await ask(running, { ca })).toContain('"version"')
  expect(await ask(running, {})).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE')
  expect(
    await ask(running, { ca, minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
  ).not.toContain('"version"')
})

it('asks for certificates of clients, and takes none of another authority', async () => {
  const { running } = await serve({ ...server, clientCa: ca })
  expect(await ask(running, { ca, ...client })).toContain('"version"')
  for (const shown of [{}, stranger])
    expect(await ask(running, { ca, ...shown })).toMatch(/^(ERR_SSL|ECONNRESET|EPIPE)/)
})

it('takes new certificates while it runs, and keeps the old ones where the new are wrong', async () => {
  const { app, running } = await serve(server)
  const other = makeCertificates()
  expect(await ask(running, { ca: other.ca })).not.toContain('"version"')
  expect(() => renewTls(app, { key: server.key, cert: other.server.cert })).toThrow(InvalidConfigError)
  expect(await ask(running, { ca })).toContain('"version"')
  renewTls(app, other.server)
  expect(await ask(running, { ca: other.ca })).toContain('"version"')
})

it('does not stop asking for certificates of clients, nor begin to, while it runs', async () => {
  const { app, running } = await serve({ ...server, clientCa: ca })
  expect(() => renewTls(app, server)).toThrow(/clientCa/)
  renewTls(app, { ...server, clientCa: ca })
  expect(await ask(running, { ca, ...client })).toContain('"version"')
  expect(() => renewTls(app, server)).toThrow(InvalidConfigError)
  const { app: open } = await serve(server)
  expect(() => renewTls(open, { ...server, clientCa: ca })).toThrow(/clientCa/)
})

it.each([
  [{ key: 'no key', cert: server.cert }, 'OpenSSL says'],
  [{ key: client.key, cert: server.cert }, 'KEY_VALUES_MISMATCH'],
  [{ key: server.key, cert: '' }, 'tls'],
])('refuses what does not go together, and quotes no key', (tls, message) => {
  const make = () => createApp({ engine: new FakeEngine(), tls })
  expect(make).toThrow(InvalidConfigError)
  expect(make).toThrow(message)
  expect(make).not.toThrow(/BEGIN|PRIVATE/)
})
