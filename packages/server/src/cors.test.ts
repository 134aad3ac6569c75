import { describe, expect, it } from 'vitest'
import { createApp } from './app.ts'
import { FakeEngine } from './testing/fake-engine.ts'

const page = 'https://chat.example'

const preflight = (app: ReturnType<typeof createApp>, origin: string) =>
  app.inject({
    method: 'OPTIONS',
    url: '/v1/chat/completions',
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type',
    },
  })

describe('pages of other origins', () => {
  it('are not answered where none is allowed', async () => {
    const app = createApp({ engine: new FakeEngine() })
    expect((await preflight(app, page)).statusCode).toBe(405)
    expect((await app.inject({ url: '/v1/models', headers: { origin: page } })).headers).not.toHaveProperty(
      'access-control-allow-origin',
    )
  })

  it('are told before they ask, without a key, and in refusals too', async () => {
    const app = createApp({ engine: new FakeEngine(), apiKeys: ['k'], allowedOrigins: [page] })
    const asked = await preflight(app, page)
    expect(asked.statusCode).toBe(204)
    expect(asked.headers).toMatchObject({
      'access-control-allow-origin': page,
      'access-control-allow-methods': 'POST',
      'access-control-allow-headers': 'authorization,content-type',
      vary: 'Origin',
    })
    for (const [url, status] of [
      ['/v1/models', 401],
      ['/nowhere', 404],
      ['/health', 200],
    ] as const) {
      const { statusCode, headers } = await app.inject({ url, headers: { origin: page } })
      expect([statusCode, headers['access-control-allow-origin']]).toEqual([status, page])
      expect(headers['access-control-expose-headers']).toContain('x-request-id')
    }
    const stream = await app.inject({
      method: 'POST',
      url: '/v1/completions',
      headers: { origin: page, 'x-api-key': 'k' },
      payload: { prompt: 'a', stream: true },
    })
    expect(stream.headers['access-control-allow-origin']).toBe(page)
    for (const origin of ['https://evil.example', 'https://chat.example.evil.example', 'null'])
      expect((await preflight(app, origin)).headers).not.toHaveProperty('access-control-allow-origin')
  })

  it('may be any; with credentials they are named, and methods and headers may be', async () => {
    const any = await preflight(createApp({ engine: new FakeEngine(), allowedOrigins: ['*'] }), 'https://x.example')
    expect(any.headers).toMatchObject({ 'access-control-allow-origin': '*' })
    expect(any.headers).not.toHaveProperty('access-control-allow-credentials')
    const options = {
      allowedOrigins: [page],
      allowCredentials: true,
      allowedMethods: ['GET'],
      allowedHeaders: ['X-A', 'X-B'],
    }
    expect((await preflight(createApp({ engine: new FakeEngine(), ...options }), page)).headers).toMatchObject({
      'access-control-allow-credentials': 'true',
      'access-control-allow-methods': 'GET',
      'access-control-allow-headers': 'X-A, X-B',
    })
  })

  it.each([
    [{ allowedOrigins: ['https://chat.example/'] }, 'allowedOrigins'],
    [{ allowedOrigins: ['chat.example'] }, 'allowedOrigins'],
    [{ allowedOrigins: ['*'], allowCredentials: true }, 'allowCredentials'],
  ])('that cannot be are refused: %j', (options, option) => {
    expect(() => createApp({ engine: new FakeEngine(), ...options })).toThrow(option)
  })
})

it('answers say what browsers may not do with them', async () => {
  const app = createApp({ engine: new FakeEngine() })
  for (const url of ['/v1/models', '/nowhere', '/health']) {
    expect((await app.inject(url)).headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    })
  }
})
