import { rerankFieldName, rerankingSchema, rerankRequestSchema } from '@octavo/sdk/protocol'
import type { Reranking, RerankRequest, RerankResult } from '@octavo/sdk/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Endpoint } from '../endpoint.ts'
import { addEndpoint, explainFailure } from '../endpoint.ts'
import { HttpError } from '../http-error.ts'
import { openaiDialect } from '../openai/dialect.ts'
import { parseWire } from '../parse-wire.ts'
import { sendJson } from '../send-json.ts'
import type { ServerContext } from '../server-context.ts'
import { openPooling, type Pooling } from './open-pooling.ts'
import { scorePairs } from './score-pairs.ts'

/** POST /rerank, and the same under /v1 (Jina) and /v2 (Cohere). */
export function addRerank(app: FastifyInstance, server: ServerContext): void {
  const endpoint: Endpoint = {
    methods: ['POST'],
    url: '/rerank',
    operation: 'rerank',
    dialect: openaiDialect,
    fieldName: rerankFieldName,
    description: {
      summary: 'Documents in the order in which they go with a query',
      tag: 'Pooling',
      request: rerankRequestSchema,
      answer: rerankingSchema,
    },
    handler: rerank,
  }
  addEndpoint(app, server, endpoint)

  async function rerank(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { turns } = server
    const body = await turns.run(() => parseWire(rerankRequestSchema, request.body))
    const pooling = openPooling(server, { request, reply, idPrefix: 'rerank-', body, tasks: ['classify', 'embed'] })
    const texts = body.documents.map((document) => (typeof document === 'string' ? document : document.text))
    const { scores, usage } = await scorePairs([body.query], await cutTexts(texts, body, pooling), {
      body,
      pooling,
      turns,
    })
    const { prompt_tokens, total_tokens } = usage.usage()
    const results = rankedResults(scores, texts, body)
    const answer: Reranking = { id: pooling.id, model: pooling.model, usage: { prompt_tokens, total_tokens }, results }
    const explain = (error: unknown) => explainFailure(server, { endpoint, error, request, reply })
    return sendJson(reply, answer, { turns, signal: pooling.signal, explain })
  }

  /** Tokenized once more, one by one: others come in between. */
  async function cutTexts(
    texts: readonly string[],
    { max_tokens_per_doc: max }: RerankRequest,
    { model, signal }: Pooling,
  ): Promise<readonly string[]> {
    if (max == null || max === 0) return texts
    const { engine } = server
    if (engine.tokenize === undefined || engine.detokenizeInTurns === undefined)
      throw new HttpError(501, 'The engine of this server cannot cut documents; leave max_tokens_per_doc out.')
    const cut: string[] = []
    for (const text of texts) {
      const prompt = { type: 'text', text, addSpecialTokens: false } as const
      const { tokenIds } = await engine.tokenize({ model, prompt }, signal)
      cut.push(tokenIds.length <= max ? text : await engine.detokenizeInTurns(tokenIds.slice(0, max), model))
    }
    return cut
  }
}

/** Of documents with equal scores the earlier comes first. */
function rankedResults(
  scores: readonly number[],
  texts: readonly string[],
  { top_n: topN, return_documents: returnDocuments }: RerankRequest,
): RerankResult[] {
  const results = scores.map((score, index) => ({
    index,
    ...(returnDocuments !== false && { document: { text: texts[index]! } }),
    relevance_score: score,
  }))
  results.sort((a, b) => b.relevance_score - a.relevance_score)
  return topN == null || topN === 0 ? results : results.slice(0, topN)
}
