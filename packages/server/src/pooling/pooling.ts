import type { PoolingOutput, PoolingTask, ServedModel } from '@octavo/core'
import { pooledListSchema, poolingFieldName, poolingRequestSchema } from '@octavo/sdk/protocol'
import type { Pooled, PooledList, VectorEncoding } from '@octavo/sdk/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Endpoint } from '../endpoint.ts'
import { addEndpoint, explainFailure } from '../endpoint.ts'
import { takeJsonSource } from '../json-body.ts'
import type { InWriting } from '../json-bytes.ts'
import { checkChatTemplate } from '../openai/check-chat-template.ts'
import { openaiDialect } from '../openai/dialect.ts'
import { parseWire } from '../parse-wire.ts'
import { sendJson } from '../send-json.ts'
import type { ServerContext } from '../server-context.ts'
import { vectorBytes } from './encode-vector.ts'
import { openPooling, type Pooling } from './open-pooling.ts'
import { isOfTokens, PoolingUsage } from './pool-prompts.ts'
import { collect, poolInputs } from './pooling-answer.ts'
import { sendVectorBytes } from './send-vector-bytes.ts'

const allTasks = ['embed', 'classify', 'token_embed', 'token_classify'] as const

/** POST /pooling */
export function addPooling(app: FastifyInstance, server: ServerContext): void {
  const endpoint: Endpoint = {
    methods: ['POST'],
    url: '/pooling',
    operation: 'pooling',
    dialect: openaiDialect,
    fieldName: poolingFieldName,
    description: {
      summary: 'What a model makes of each input, for the whole of it or for each of its tokens',
      tag: 'Pooling',
      request: poolingRequestSchema,
      answer: pooledListSchema,
    },
    handler: createPooling,
  }
  addEndpoint(app, server, endpoint)

  async function createPooling(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { turns } = server
    const body = await turns.run(() => parseWire(poolingRequestSchema, request.body))
    checkChatTemplate(body, server)
    const tasks = body.task == null ? allTasks : [body.task]
    const pooling = openPooling(server, { request, reply, idPrefix: 'pool-', body, tasks })
    const task = body.task ?? defaultTask(pooling.servedModel)
    const source = takeJsonSource(request.body)
    const params = { task, dimensions: body.dimensions, useActivation: body.use_activation }
    const outputs = await poolInputs(body, { pooling, params, turns, source })
    const format = body.encoding_format ?? 'float'
    if (format === 'bytes' || format === 'bytes_only')
      return sendVectorBytes(reply, outputs, { encoding: body, frame: pooling, turns })
    const explain = (error: unknown) => explainFailure(server, { endpoint, error, request, reply })
    // Of those the vectors of no more than a few prompts are held; others are all there before they are written, so that what
    // is wrong with one is still a proper answer.
    const answer = pooledAnswer(isOfTokens(task) ? outputs : await collect(outputs), body, pooling)
    return sendJson(reply, answer, { turns, signal: pooling.signal, explain })
  }
}

function defaultTask({ tasks }: ServedModel): PoolingTask {
  return allTasks.find((task) => tasks.includes(task)) ?? 'embed'
}

function pooledAnswer(
  outputs: Iterable<PoolingOutput> | AsyncIterable<PoolingOutput>,
  encoding: VectorEncoding,
  { id, created, model }: Pooling,
): InWriting<PooledList> {
  const usage = new PoolingUsage()
  async function* data(): AsyncGenerator<Pooled, void, undefined> {
    let index = 0
    for await (const output of outputs) {
      usage.add(output)
      const isBase64 = encoding.encoding_format === 'base64'
      yield {
        index: index++,
        object: 'pooling',
        data: isBase64 ? vectorBytes(output.data, encoding).toString('base64') : rowsOf(output),
      }
    }
  }
  return { id, object: 'list', created, model, data: data(), usage: () => usage.usage() }
}

function rowsOf({ data, shape }: PoolingOutput): number[] | number[][] {
  const [numRows = 0, width] = shape
  if (width === undefined) return [...data]
  return Array.from({ length: numRows }, (_, row) => [...data.subarray(row * width, (row + 1) * width)])
}
