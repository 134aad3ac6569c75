import { describe, expect, it } from 'vitest'
import { createApp } from '../app.ts'
import { FakeEngine } from '../testing/fake-engine.ts'

interface Document {
  readonly openapi: string
  readonly paths: Record<string, Record<string, { operationId: string; requestBody?: unknown; responses: unknown }>>
  readonly components: { readonly schemas: Record<string, Record<string, unknown>> }
}

async function readDocument(): Promise<Document> {
  const response = await createApp({ engine: new FakeEngine(), version: '1.2.3' }).inject('/openapi.json')
  expect(response.statusCode).toBe(200)
  return response.json()
}

describe('/openapi.json', () => {
  it('has each endpoint with what it takes and answers', async () => {
    const { openapi, paths, components } = await readDocument()
    expect(openapi).toBe('3.1.1')
    expect(paths['/v1/models/{name}']).toHaveProperty('get')
    expect(paths['/v1/chat/completions']!.post).toMatchObject({
      requestBody: {
        content: { 'application/json': { schema: { $ref: '#/components/schemas/ChatCompletionsRequest' } } },
      },
      responses: { 200: { content: { 'text/event-stream': {} } } },
    })
    expect(components.schemas.ChatCompletionsRequest).toMatchObject({
      type: 'object',
      required: ['messages'],
      properties: { messages: { type: 'array', minItems: 1, maxItems: 4096 }, seed: { type: ['integer', 'null'] } },
    })
  })

  it('gives each operation a name of its own', async () => {
    const { paths } = await readDocument()
    const names = Object.values(paths).flatMap((item) => Object.values(item).map(({ operationId }) => operationId))
    expect(new Set(names).size).toBe(names.length)
  })
})
