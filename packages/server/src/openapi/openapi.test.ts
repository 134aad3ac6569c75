import { createHash } from 'node:crypto'
import { Validator } from '@seriousme/openapi-schema-validator'
import { describe, expect, it } from 'vitest'
import { createApp } from '../app.ts'
import { FakeEngine } from '../testing/fake-engine.ts'
import type { OpenApiDocument } from './openapi-document.ts'

const app = createApp({
  engine: new FakeEngine(),
  version: '1.2.3<',
  adminApiKey: 'the-operators-key',
  enableTokenizerInfoEndpoint: true,
})

async function readDocument(): Promise<OpenApiDocument> {
  const response = await app.inject('/openapi.json')
  expect(response.statusCode).toBe(200)
  return response.json()
}

describe('/openapi.json', () => {
  it('has each endpoint with what it takes and answers', async () => {
    const { openapi, paths, components } = await readDocument()
    expect(openapi).toBe('3.1.1')
    expect(paths['/v1/models/{name}']).toHaveProperty('get')
    expect(paths['/v1/chat/completions']!['post']).toMatchObject({
      requestBody: {
        content: { 'application/json': { schema: { $ref: '#/components/schemas/ChatCompletionsRequest' } } },
      },
      responses: { 200: { content: { 'text/event-stream': {} } } },
    })
    expect(components.schemas['ChatCompletionsRequest']).toMatchObject({
      type: 'object',
      required: ['messages'],
      properties: { messages: { type: 'array', minItems: 1, maxItems: 4096 }, seed: { type: ['integer', 'null'] } },
    })
    expect(paths['/sleep']!['post']).toMatchObject({
      security: [{ adminKey: [] }],
      parameters: [
        { name: 'level', in: 'query', required: false, schema: { enum: ['0', '1', '2'] } },
        { name: 'mode', in: 'query' },
      ],
    })
  })

  it('is valid to a judge of others', async () => {
    const { valid, errors } = await new Validator().validate({ ...(await readDocument()) })
    expect(errors).toBeUndefined()
    expect(valid).toBe(true)
  })

  it('gives each operation a name of its own, and each reference something to refer to', async () => {
    const document = await readDocument()
    const operations = Object.values(document.paths).flatMap((item) => Object.values(item))
    const names = operations.map(({ operationId }) => operationId)
    expect(new Set(names).size).toBe(names.length)
    const refs = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(([, ref]) => ref!)
    const known = Object.keys(document.components.schemas).map((name) => `#/components/schemas/${name}`)
    expect(refs.filter((ref) => !known.includes(ref))).toEqual([])
    expect(refs.length).toBeGreaterThan(20)
  })

  it('leaves no endpoint out', async () => {
    const { paths } = await readDocument()
    for (const [path, item] of Object.entries(paths)) expect([path, Object.keys(item).length > 0]).toEqual([path, true])
    for (const path of [
      '/v1/embeddings',
      '/v2/rerank',
      '/tokenize',
      '/v1/completions/render',
      '/docs',
      '/openapi.json',
    ])
      expect(paths).toHaveProperty([path])
  })
})

describe('/docs', () => {
  it('is a page that loads and runs nothing', async () => {
    const response = await app.inject('/docs')
    expect(response.headers['content-type']).toBe('text/html; charset=utf-8')
    expect(response.headers['content-security-policy']).toMatch(/^default-src 'none'; style-src 'sha256-/)
    expect(response.body).toContain('1.2.3&lt;')
    expect(response.body).not.toMatch(/<script|src=|https?:\/\/|style=/)
    for (const text of ['/v1/chat/completions', 'encoding_format', 'top_n', 'the operator’s key'])
      expect(response.body).toContain(text)
  })

  it('has the style that its policy allows', async () => {
    const response = await app.inject('/docs')
    const [, style = ''] = /<style>([^]*?)<\/style>/.exec(response.body) ?? []
    const digest = createHash('sha256').update(style).digest('base64')
    expect(response.headers['content-security-policy']).toContain(`'sha256-${digest}'`)
  })
})
