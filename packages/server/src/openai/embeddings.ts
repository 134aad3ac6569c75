import type { PoolingOutput } from '@octavo/core'
import { embeddingListSchema, embeddingRequestSchema, poolingFieldName } from '@octavo/sdk/protocol'
import type { Embedding, EmbeddingList, VectorEncoding } from '@octavo/sdk/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Endpoint } from '../endpoint.ts'
import { addEndpoint, explainFailure } from '../endpoint.ts'
import type { InWriting } from '../json-bytes.ts'
import { takeJsonSource } from '../json-body.ts'
import { parseWire } from '../parse-wire.ts'
import { vectorBytes } from '../pooling/encode-vector.ts'
import { openPooling, type Pooling } from '../pooling/open-pooling.ts'
import { PoolingUsage } from '../pooling/pool-prompts.ts'
import { collect, poolInputs } from '../pooling/pooling-answer.ts'
import { sendVectorBytes } from '../pooling/send-vector-bytes.ts'
import { sendJson } from '../send-json.ts'
import type { ServerContext } from '../server-context.ts'
import { checkChatTemplate } from './check-chat-template.ts'
import { openaiDialect } from './dialect.ts'

/** POST /v1/embeddings */
export function addEmbeddings(app: FastifyInstance, server: ServerContext): void {
  const endpoint: Endpoint = {
    methods: ['POST'],
    url: '/embeddings',
    operation: 'embeddings',
    dialect: openaiDialect,
    fieldName: poolingFieldName,
    description: {
      summary: 'An embedding of each input',
      tag: 'Pooling',
      request: embeddingRequestSchema,
      answer: embeddingListSchema,
    },
    handler: createEmbeddings,
  }
  addEndpoint(app, server, endpoint)

  async function createEmbeddings(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { turns } = server
    const body = await turns.run(() => parseWire(embeddingRequestSchema, request.body))
    checkChatTemplate(body, server)
    const pooling = openPooling(server, { request, reply, idPrefix: 'embd-', body, tasks: ['embed'] })
    const source = takeJsonSource(request.body)
    const params = { task: 'embed', dimensions: body.dimensions, useActivation: body.use_activation } as const
    const inputs = await poolInputs(body, { pooling, params, turns, source })
    const format = body.encoding_format ?? 'float'
    if (format === 'bytes' || format === 'bytes_only')
      return sendVectorBytes(reply, inputs, { encoding: body, frame: pooling, turns })
    // All of them before the first is written: what is wrong with one is still a proper answer then.
    const outputs = await collect(inputs)
    const explain = (error: unknown) => explainFailure(server, { endpoint, error, request, reply })
    return sendJson(reply, embeddingAnswer(outputs, body, pooling), { turns, signal: pooling.signal, explain })
  }
}

function embeddingAnswer(
  outputs: readonly PoolingOutput[],
  encoding: VectorEncoding,
  { id, created, model }: Pooling,
): InWriting<EmbeddingList> {
  const usage = new PoolingUsage()
  async function* data(): AsyncGenerator<Embedding, void, undefined> {
    for (const [index, output] of outputs.entries()) {
      usage.add(output)
      const isBase64 = encoding.encoding_format === 'base64'
      const embedding = isBase64 ? vectorBytes(output.data, encoding).toString('base64') : [...output.data]
      yield { index, object: 'embedding', embedding }
    }
  }
  return { id, object: 'list', created, model, data: data(), usage: () => usage.usage() }
}
