import { labelOf, type PoolingOutput } from '@octavo/core'
import { classificationListSchema, classificationRequestSchema, poolingFieldName } from '@octavo/sdk/protocol'
import type { Classification, ClassificationList } from '@octavo/sdk/protocol'
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
import { openPooling, type Pooling } from './open-pooling.ts'
import { PoolingUsage } from './pool-prompts.ts'
import { collect, poolInputs } from './pooling-answer.ts'

/** POST /classify */
export function addClassify(app: FastifyInstance, server: ServerContext): void {
  const endpoint: Endpoint = {
    methods: ['POST'],
    url: '/classify',
    operation: 'classify',
    dialect: openaiDialect,
    fieldName: poolingFieldName,
    description: {
      summary: 'The class of each input, and the probabilities of all',
      tag: 'Pooling',
      request: classificationRequestSchema,
      answer: classificationListSchema,
    },
    handler: classify,
  }
  addEndpoint(app, server, endpoint)

  async function classify(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { turns } = server
    const body = await turns.run(() => parseWire(classificationRequestSchema, request.body))
    checkChatTemplate(body, server)
    const pooling = openPooling(server, { request, reply, idPrefix: 'classify-', body, tasks: ['classify'] })
    const source = takeJsonSource(request.body)
    const params = { task: 'classify', useActivation: body.use_activation } as const
    const outputs = await collect(await poolInputs(body, { pooling, params, turns, source }))
    const explain = (error: unknown) => explainFailure(server, { endpoint, error, request, reply })
    return sendJson(reply, classificationAnswer(outputs, pooling), { turns, signal: pooling.signal, explain })
  }
}

function classificationAnswer(
  outputs: readonly PoolingOutput[],
  { id, created, model, servedModel }: Pooling,
): InWriting<ClassificationList> {
  const usage = new PoolingUsage()
  async function* data(): AsyncGenerator<Classification, void, undefined> {
    for (const [index, output] of outputs.entries()) {
      usage.add(output)
      const probs = [...output.data]
      yield { index, label: labelOf(output.data, servedModel), probs, num_classes: probs.length }
    }
  }
  return { id, object: 'list', created, model, data: data(), usage: () => usage.usage() }
}
