import type { z } from 'zod'
import { readChunks } from './chunk-stream.ts'
import { type Call, HttpTransport } from './http-transport.ts'
import { OctavoApiError } from './octavo-api-error.ts'
import { parseAnswer } from './parse-answer.ts'
import type { ChatCompletion } from './protocol/chat-completion.ts'
import { chatCompletionSchema } from './protocol/chat-completion.ts'
import type { ChatCompletionChunk } from './protocol/chat-completion-chunk.ts'
import { chatCompletionChunkSchema } from './protocol/chat-completion-chunk.ts'
import type { ChatCompletionRequest } from './protocol/chat-completion-request.ts'
import type { CompletionRequest } from './protocol/completion-request.ts'
import type { Completion, CompletionChunk } from './protocol/completion.ts'
import { completionChunkSchema, completionSchema } from './protocol/completion.ts'
import type { ClassificationList, ClassificationRequest } from './protocol/pooling/classification.ts'
import { classificationListSchema } from './protocol/pooling/classification.ts'
import type { EmbeddingList, EmbeddingRequest } from './protocol/pooling/embeddings.ts'
import { embeddingListSchema } from './protocol/pooling/embeddings.ts'
import type { PooledList, WirePoolingRequest } from './protocol/pooling/pooling.ts'
import { pooledListSchema } from './protocol/pooling/pooling.ts'
import type { Reranking, RerankRequest } from './protocol/pooling/rerank.ts'
import { rerankingSchema } from './protocol/pooling/rerank.ts'
import type { ScoreList, ScoreRequest } from './protocol/pooling/score.ts'
import { scoreListSchema } from './protocol/pooling/score.ts'
import type { Detokenized, DetokenizeRequest } from './protocol/tokens/detokenize.ts'
import { detokenizedSchema } from './protocol/tokens/detokenize.ts'
import type { Tokenized, TokenizeRequest } from './protocol/tokens/tokenize.ts'
import { tokenizedSchema } from './protocol/tokens/tokenize.ts'
import type { ModelList } from './protocol/model-card.ts'
import { modelListSchema } from './protocol/model-card.ts'
import type { ResponseEvent } from './protocol/responses/response-event.ts'
import { responseEventSchema } from './protocol/responses/response-event.ts'
import type { DeletedResponse, ResponseObject } from './protocol/responses/response-object.ts'
import { deletedResponseSchema, responseObjectSchema } from './protocol/responses/response-object.ts'
import type { ResponseRequest } from './protocol/responses/response-request.ts'
import type { ServerVersion } from './protocol/server-version.ts'
import { serverVersionSchema } from './protocol/server-version.ts'

/** Which server, and how patiently. */
export interface OctavoClientOptions {
  /** Where the server is, such as "http://127.0.0.1:8000"; a trailing "/v1" is allowed. */
  readonly baseUrl: string
  readonly apiKey?: string
  /** Default: the global one. */
  readonly fetch?: typeof globalThis.fetch
  /** For a whole answer, or until a stream begins. Default 600000; Infinity = none. */
  readonly timeoutMs?: number
  /** After connection errors, 429 and 503 only, and only while nothing of the answer has come. Default 2. */
  readonly maxRetries?: number
}

/** Options of one call. */
export interface CallOptions {
  /** Ends the call, also in the middle of a stream, and with it the server's work; it then throws the signal's reason. */
  readonly signal?: AbortSignal
}

/** A request that asks for a stream. */
export type WithStream<T> = Omit<T, 'stream'> & { stream: true }
/** A request that asks for a whole answer. */
export type WithoutStream<T> = Omit<T, 'stream'> & { stream?: false | null }

/** The streaming or the complete form of one endpoint, chosen by `params.stream`. */
export interface Endpoint<Params, Complete, Chunk> {
  create(params: WithStream<Params>, options?: CallOptions): Promise<AsyncIterable<Chunk>>
  create(params: WithoutStream<Params>, options?: CallOptions): Promise<Complete>
  create(params: Params, options?: CallOptions): Promise<AsyncIterable<Chunk> | Complete>
}

/** Responses, and what the server keeps of them. */
export interface ResponsesEndpoint extends Endpoint<ResponseRequest, ResponseObject, ResponseEvent> {
  /** As it is now: one that is made in the background may be queued or in progress. */
  retrieve(id: string, options?: CallOptions): Promise<ResponseObject>
  /** Its events, of one that was created in the background as a stream; after the number of one that was read before. */
  follow(id: string, options?: CallOptions & { readonly startingAfter?: number }): Promise<AsyncIterable<ResponseEvent>>
  cancel(id: string, options?: CallOptions): Promise<ResponseObject>
  delete(id: string, options?: CallOptions): Promise<DeletedResponse>
}

/** A request whose answer is JSON. */
export type InJson<T> = Omit<T, 'encoding_format'> & { encoding_format?: 'float' | 'base64' | null }

/**
 * Client of an Octavo server.
 *
 * @example
 * const client = new OctavoClient({ baseUrl: 'http://127.0.0.1:8000' })
 * const chunks = await client.chat.completions.create({ messages: [{ role: 'user', content: 'Hello' }], stream: true })
 * for await (const chunk of chunks) process.stdout.write(chunk.choices[0]?.delta.content ?? '')
 */
export class OctavoClient {
  readonly chat: { readonly completions: Endpoint<ChatCompletionRequest, ChatCompletion, ChatCompletionChunk> }
  readonly completions: Endpoint<CompletionRequest, Completion, CompletionChunk>
  readonly responses: ResponsesEndpoint
  /** `encoding_format` "bytes" is for clients of one's own. */
  readonly embeddings: { create(params: InJson<EmbeddingRequest>, options?: CallOptions): Promise<EmbeddingList> }
  readonly models: { list(options?: CallOptions): Promise<ModelList> }
  readonly #transport: HttpTransport

  constructor(options: OctavoClientOptions) {
    this.#transport = new HttpTransport({
      baseUrl: options.baseUrl.replace(/\/+$/, '').replace(/\/v1$/, ''),
      apiKey: options.apiKey ?? null,
      fetch: options.fetch ?? globalThis.fetch,
      timeoutMs: options.timeoutMs ?? 600_000,
      maxRetries: options.maxRetries ?? 2,
    })
    this.chat = {
      completions: this.#endpoint('/v1/chat/completions', chatCompletionSchema, chatCompletionChunkSchema),
    }
    this.completions = this.#endpoint('/v1/completions', completionSchema, completionChunkSchema)
    this.responses = this.#responses()
    this.embeddings = {
      create: (params, { signal } = {}) => this.#post('/v1/embeddings', { body: params, signal }, embeddingListSchema),
    }
    this.models = { list: ({ signal } = {}) => this.#get('/v1/models', modelListSchema, signal) }
  }

  /** False while the engine cannot serve; rejects where no server answers at all. */
  async health({ signal }: CallOptions = {}): Promise<boolean> {
    try {
      const { response, exchange } = await this.#transport.call({
        method: 'GET',
        path: '/health',
        signal,
        maxRetries: 0,
      })
      await response.body?.cancel()
      exchange.close()
      return true
    } catch (error) {
      if (OctavoApiError.isInstance(error) && error.status === 503) return false
      throw error
    }
  }

  version({ signal }: CallOptions = {}): Promise<ServerVersion> {
    return this.#get('/version', serverVersionSchema, signal)
  }

  /** How well texts go with each other, or with one. */
  score(params: ScoreRequest, { signal }: CallOptions = {}): Promise<ScoreList> {
    return this.#post('/v1/score', { body: params, signal }, scoreListSchema)
  }

  /** Documents in the order in which they go with a query. */
  rerank(params: RerankRequest, { signal }: CallOptions = {}): Promise<Reranking> {
    return this.#post('/v1/rerank', { body: params, signal }, rerankingSchema)
  }

  classify(params: ClassificationRequest, { signal }: CallOptions = {}): Promise<ClassificationList> {
    return this.#post('/classify', { body: params, signal }, classificationListSchema)
  }

  /** What a model makes of inputs, for the whole of each or for each of its tokens. */
  pool(params: InJson<WirePoolingRequest>, { signal }: CallOptions = {}): Promise<PooledList> {
    return this.#post('/pooling', { body: params, signal }, pooledListSchema)
  }

  tokenize(params: TokenizeRequest, { signal }: CallOptions = {}): Promise<Tokenized> {
    return this.#post('/tokenize', { body: params, signal }, tokenizedSchema)
  }

  detokenize(params: DetokenizeRequest, { signal }: CallOptions = {}): Promise<Detokenized> {
    return this.#post('/detokenize', { body: params, signal }, detokenizedSchema)
  }

  #responses(): ResponsesEndpoint {
    const url = '/v1/responses'
    const pathOf = (id: string): string => `${url}/${encodeURIComponent(id)}`
    return {
      ...this.#endpoint(url, responseObjectSchema, responseEventSchema),
      retrieve: (id, { signal } = {}) => this.#get(pathOf(id), responseObjectSchema, signal),
      follow: async (id, { signal, startingAfter } = {}) => {
        const query = `?stream=true${startingAfter === undefined ? '' : `&starting_after=${startingAfter}`}`
        const call = { method: 'GET', path: pathOf(id) + query, signal } as const
        return readChunks(await this.#transport.call(call), responseEventSchema)
      },
      cancel: (id, { signal } = {}) =>
        this.#ask({ method: 'POST', path: `${pathOf(id)}/cancel`, signal }, responseObjectSchema),
      delete: (id, { signal } = {}) => this.#ask({ method: 'DELETE', path: pathOf(id), signal }, deletedResponseSchema),
    }
  }

  #get<T>(path: string, schema: z.ZodType<T>, signal: AbortSignal | undefined): Promise<T> {
    return this.#ask({ method: 'GET', path, signal }, schema)
  }

  #post<T>(path: string, call: Pick<Call, 'body' | 'signal'>, schema: z.ZodType<T>): Promise<T> {
    return this.#ask({ method: 'POST', path, ...call }, schema)
  }

  async #ask<T>(call: Call, schema: z.ZodType<T>): Promise<T> {
    return parseAnswer(schema, await this.#transport.callForJson(call), 200)
  }

  #endpoint<Params extends { stream?: boolean | null | undefined }, Complete, Chunk>(
    path: string,
    completeSchema: z.ZodType<Complete>,
    chunkSchema: z.ZodType<Chunk>,
  ): Endpoint<Params, Complete, Chunk> {
    const transport = this.#transport
    function create(params: WithStream<Params>, options?: CallOptions): Promise<AsyncIterable<Chunk>>
    function create(params: WithoutStream<Params>, options?: CallOptions): Promise<Complete>
    function create(params: Params, options?: CallOptions): Promise<AsyncIterable<Chunk> | Complete>
    async function create(
      params: Params | WithStream<Params> | WithoutStream<Params>,
      { signal }: CallOptions = {},
    ): Promise<AsyncIterable<Chunk> | Complete> {
      const call = { method: 'POST', path, body: params, signal } as const
      if (params.stream === true) return readChunks(await transport.call(call), chunkSchema)
      return parseAnswer(completeSchema, await transport.callForJson(call), 200)
    }
    return { create }
  }
}
