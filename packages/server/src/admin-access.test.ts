import Fastify from 'fastify'
import { describe, expect, it } from 'vitest'
import { addEndpoint } from './endpoint.ts'
import { openaiDialect } from './openai/dialect.ts'
import { mountServer } from './plugin.ts'
import { FakeEngine } from './testing/fake-engine.ts'

async function statusOf(adminApiKey: string | undefined, headers: Record<string, string>): Promise<number> {
  const app = Fastify()
  const server = mountServer(app, { engine: new FakeEngine(), apiKeys: ['caller'], adminApiKey })
  addEndpoint(app, server, {
    methods: ['POST'],
    url: '/op',
    dialect: openaiDialect,
    access: 'admin',
    description: {},
    handler: () => ({}),
  })
  return (await app.inject({ method: 'POST', url: '/op', headers })).statusCode
}

describe('an endpoint for operators', () => {
  it('is refused to everyone where there is no admin key', async () => {
    expect(await statusOf(undefined, { authorization: 'Bearer caller' })).toBe(403)
    expect(await statusOf(undefined, {})).toBe(403)
  })

  it.each([
    [{ authorization: 'Bearer boss' }, 200],
    [{ 'x-api-key': 'boss' }, 200],
    [{ authorization: 'Bearer caller' }, 401],
    [{}, 401],
  ])('asks for the admin key: %j', async (headers, status) => {
    expect(await statusOf('boss', headers)).toBe(status)
  })
})
