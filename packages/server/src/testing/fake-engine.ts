import { ContextLengthError, joinMessages, ModelNotFoundError, resolveSamplingParams } from '@octavo/core'
import { noMetrics } from '@octavo/core/engine'
import type {
  CompletionOutput,
  DecodedLogprob,
  DecodedTokenLogprobs,
  EngineClient,
  EngineMetrics,
  FinishReason,
  GenerateRequest,
  MessageDelta,
  ModelTask,
  PoolingInfo,
  PoolingOutput,
  PoolingRequest,
  RenderedRequest,
  RequestOutput,
  ServedModel,
  SleepOptions,
  TokenizedPrompt,
  TokenizeRequest,
  ToolCallDelta,
} from '@octavo/core'
import { fakePooling, fakePoolingInfo } from './fake-pooling.ts'

export interface FakeEngineOptions {
  readonly models?: readonly string[]
  readonly maxModelLen?: number
  /** Awaited before every token. */
  readonly pace?: (numTokensSoFar: number) => Promise<void>
  /** Thrown in place of the token with this index. */
  readonly failure?: { readonly atToken: number; readonly error: unknown }
  /** Chats have messages: a word that begins with "~" is reasoning, with "!" the name of a call, with "{" its arguments. */
  readonly parses?: boolean
  /** Default: those of a decoder. */
  readonly tasks?: readonly ModelTask[]
  /** Default: `fakePoolingInfo`. */
  readonly pooling?: Partial<PoolingInfo>
}

export interface SeenRequest {
  readonly request: GenerateRequest
  state: 'running' | 'finished' | 'aborted'
  numTokens: number
}

/**
 * An engine whose model repeats the prompt's words for ever: the vocabulary is every word ever seen, a token is a word
 * with the white space before it, "END" is end-of-sequence. Sample i of a random request begins at word seed + i.
 */
export class FakeEngine implements EngineClient {
  readonly models: readonly ServedModel[]
  readonly seen: SeenRequest[] = []
  readonly seenPooling: PoolingRequest[] = []
  isDead = false
  /** Said by the metrics. */
  numWaitingSeqs = 0
  numPartsRead = 0
  numResets = 0
  readonly sleeps: SleepOptions[] = []
  readonly #options: FakeEngineOptions
  readonly #maxModelLen: number
  readonly #words: string[] = []
  readonly #wordIds = new Map<string, number>()

  constructor(options: FakeEngineOptions = {}) {
    this.#options = options
    this.#maxModelLen = options.maxModelLen ?? 256
    this.models = (options.models ?? ['fake']).map((id) => ({
      id,
      root: `models/${id}`,
      created: 1_700_000_000,
      maxModelLen: this.#maxModelLen,
      hasChatTemplate: true,
      tasks: options.tasks ?? ['generate', 'embed', 'token_embed'],
      pooling: { ...fakePoolingInfo, ...options.pooling },
    }))
  }

  async *generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<RequestOutput, void, undefined> {
    signal?.throwIfAborted()
    this.#check(request)
    const arrivedMs = Date.now()
    const { onEnd, ...asked } = request
    const seen: SeenRequest = { request: asked, state: 'running', numTokens: 0 }
    this.seen.push(seen)
    const prompt = promptText(request)
    const promptTokenIds = prompt === null ? tokenIdsOf(request) : this.idsOf(prompt)
    if (promptTokenIds.length >= this.#maxModelLen)
      throw new ContextLengthError(promptTokenIds.length, this.#maxModelLen)
    const maxTokens = request.params.maxTokens ?? null
    if (request.maxTokensMustFit && maxTokens !== null && promptTokenIds.length + maxTokens > this.#maxModelLen)
      throw new ContextLengthError(promptTokenIds.length, this.#maxModelLen, { maxTokens })
    try {
      yield* this.#run({ seen, signal, prompt, promptTokenIds })
    } finally {
      if (seen.state === 'running') seen.state = 'aborted'
      onEnd?.({
        numPromptTokens: promptTokenIds.length,
        numCachedTokens: 0,
        numGenerationTokens: seen.numTokens,
        finishReasons: [seen.state === 'aborted' ? 'abort' : 'stop'],
        params: { maxTokens, temperature: request.params.temperature ?? 1, topP: 1, n: request.params.n ?? 1 },
        arrivedMs,
        firstTokenMs: seen.numTokens > 0 ? arrivedMs : null,
        endedMs: Date.now(),
        times: null,
      })
    }
  }

  async *#run({ seen, signal, prompt, promptTokenIds }: Run): AsyncGenerator<RequestOutput, void, undefined> {
    const { request } = seen
    const kind = request.outputKind ?? 'cumulative'
    const samples = Array.from(
      { length: request.params.n ?? 1 },
      (_, index) => new FakeSample(request, { index, promptTokenIds, parses: this.#options.parses === true }),
    )
    const aborted = rejectOnAbort(signal)
    for (let step = 0; samples.some(({ isRunning }) => isRunning); step++) {
      await Promise.race([this.#options.pace?.(step) ?? Promise.resolve(), aborted])
      if (this.#options.failure?.atToken === step) throw this.#options.failure.error
      for (const sample of samples.filter(({ isRunning }) => isRunning)) {
        sample.step((id) => this.#words[id] ?? '', this.#maxModelLen)
        seen.numTokens++
      }
      const isFinished = samples.every(({ isRunning }) => !isRunning)
      if (isFinished) seen.state = 'finished'
      if ((kind === 'final' || kind === 'parts') && !isFinished) continue
      const output = {
        requestId: request.requestId,
        prompt,
        promptTokenIds,
        promptLogprobs: kind === 'delta' || isFinished ? this.#promptLogprobs(request, promptTokenIds) : null,
        numCachedTokens: Math.floor(promptTokenIds.length / 16) * 16,
      }
      if (kind === 'parts') yield* this.#parts(output, samples)
      else {
        const outputs = samples.flatMap((sample) => sample.take(kind, this.#words))
        yield { ...output, outputs, finished: isFinished }
      }
    }
  }

  *#parts(
    output: Omit<RequestOutput, 'outputs' | 'finished'>,
    samples: readonly FakeSample[],
  ): Iterable<RequestOutput> {
    yield { ...output, promptLogprobs: null, outputs: [], finished: false }
    const parts = samples.flatMap((sample) => halves(sample.take('final', this.#words)[0]!))
    for (const [i, part] of parts.entries()) {
      this.numPartsRead++
      yield { ...output, outputs: [part], finished: i === parts.length - 1 }
    }
  }

  async pool(request: PoolingRequest, signal?: AbortSignal): Promise<PoolingOutput> {
    signal?.throwIfAborted()
    const { onEnd: _, ...asked } = request
    this.seenPooling.push(asked)
    const model = request.model === undefined ? this.models[0] : this.models.find(({ id }) => id === request.model)
    if (model === undefined) throw new ModelNotFoundError(request.model ?? '', 'no such model')
    await Promise.race([this.#options.pace?.(0) ?? Promise.resolve(), rejectOnAbort(signal)])
    if (this.#options.failure !== undefined) throw this.#options.failure.error
    const prompt = promptText(request)
    const first = prompt === null ? tokenIdsOf(request) : this.idsOf(prompt)
    const second = request.pair == null ? [] : this.idsOf(request.pair)
    const cut = truncate([...first, ...second], request)
    if (cut.length > this.#maxModelLen) throw new ContextLengthError(cut.length, this.#maxModelLen)
    return fakePooling(request, { model, promptTokenIds: cut, numPairTokens: Math.max(0, cut.length - first.length) })
  }

  idsOf(text: string): number[] {
    return (text.match(/\s*\S+|\s+$/g) ?? []).map((word) => {
      const known = this.#wordIds.get(word)
      if (known !== undefined) return known
      this.#wordIds.set(word, this.#words.length)
      return this.#words.push(word) - 1
    })
  }

  detokenize(tokenIds: readonly number[]): string {
    return tokenIds.map((id) => this.#words[id] ?? '').join('')
  }

  async detokenizeInTurns(tokenIds: readonly number[]): Promise<string> {
    return this.detokenize(tokenIds)
  }

  async tokenize({ prompt, returnTokens = false }: TokenizeRequest): Promise<TokenizedPrompt> {
    const text = promptText({ prompt })
    const tokenIds = text === null ? tokenIdsOf({ prompt }) : this.idsOf(text)
    return { prompt: text, tokenIds, tokens: returnTokens ? tokenIds.map((id) => this.#words[id] ?? '') : null }
  }

  async render(request: GenerateRequest): Promise<RenderedRequest> {
    this.#check(request)
    const { prompt, tokenIds } = await this.tokenize({ prompt: request.prompt })
    const params = resolveSamplingParams(request.params, { vocabSize: 1_000_000, maxLogprobs: 20 })
    const maxTokens = params.maxTokens ?? this.#maxModelLen - tokenIds.length
    return { requestId: request.requestId, prompt, tokenIds, params: { ...params, maxTokens } }
  }

  async tokenizerConfig(): Promise<Readonly<Record<string, unknown>>> {
    return { tokenizer_class: 'Words', chat_template: '{{ messages }}' }
  }

  async resetPrefixCache(): Promise<void> {
    this.numResets++
  }

  async sleep(options: SleepOptions): Promise<void> {
    this.sleeps.push(options)
  }

  async wakeUp(): Promise<void> {
    this.sleeps.length = 0
  }

  get isSleeping(): boolean {
    return this.sleeps.length > 0
  }

  metrics(): EngineMetrics {
    const running = this.seen.filter(({ state }) => state === 'running').length
    return { ...noMetrics({ numBlocks: 0 }), numRunningSeqs: running, numWaitingSeqs: this.numWaitingSeqs }
  }

  async checkHealth(): Promise<void> {
    if (this.isDead) throw new Error('dead')
  }

  async shutdown(): Promise<void> {
    this.isDead = true
  }

  #check({ model, params }: GenerateRequest): void {
    if (model !== undefined && !this.models.some(({ id }) => id === model))
      throw new ModelNotFoundError(model, 'no such model')
    resolveSamplingParams(params, { vocabSize: 1_000_000, maxLogprobs: 20 })
  }

  #promptLogprobs({ params }: GenerateRequest, ids: readonly number[]): (DecodedTokenLogprobs | null)[] | null {
    const wanted = params.promptLogprobs ?? null
    return wanted === null ? null : ids.map((id, index) => (index === 0 ? null : fakeLogprobs(id, wanted, this.#words)))
  }
}

interface Run {
  readonly seen: SeenRequest
  readonly signal: AbortSignal | undefined
  readonly prompt: string | null
  readonly promptTokenIds: readonly number[]
}

interface FakeSampleOptions {
  readonly index: number
  readonly promptTokenIds: readonly number[]
  readonly parses: boolean
}

/** One row being decoded; `take` gives what the server may see, holding back text that could begin a stop string. */
class FakeSample {
  readonly #request: GenerateRequest
  readonly #index: number
  readonly #promptTokenIds: readonly number[]
  readonly #parses: boolean
  readonly #tokenIds: number[] = []
  #text = ''
  #finishReason: FinishReason | null = null
  #stopReason: string | null = null
  #taken = { text: 0, tokens: 0, isFinished: false }

  constructor(request: GenerateRequest, { index, promptTokenIds, parses }: FakeSampleOptions) {
    this.#request = request
    this.#index = index
    this.#promptTokenIds = promptTokenIds
    this.#parses = parses && request.prompt.type === 'chat' && request.prompt.parseOutput === true
  }

  get isRunning(): boolean {
    return this.#finishReason === null
  }

  step(wordOf: (id: number) => string, maxModelLen: number): void {
    const { params } = this.#request
    const start = params.temperature === 0 ? 0 : Number(params.seed ?? 0) + this.#index
    const tokenId = this.#promptTokenIds[(start + this.#tokenIds.length) % this.#promptTokenIds.length] ?? 0
    this.#tokenIds.push(tokenId)
    if (wordOf(tokenId).trim() === 'END' && params.ignoreEos !== true) return void (this.#finishReason = 'stop')
    this.#text += wordOf(tokenId)
    for (const stop of params.stop ?? []) {
      const at = this.#text.indexOf(stop)
      if (at < 0) continue
      this.#text = this.#text.slice(0, params.includeStopStrInOutput === true ? at + stop.length : at)
      this.#finishReason = 'stop'
      this.#stopReason = stop
      return
    }
    const numTokens = this.#tokenIds.length
    if (numTokens >= (params.maxTokens ?? Infinity) || this.#promptTokenIds.length + numTokens >= maxModelLen)
      this.#finishReason = 'length'
  }

  take(kind: 'delta' | 'cumulative' | 'final', words: readonly string[]): CompletionOutput[] {
    if (kind === 'delta' && this.#taken.isFinished) return []
    const held = this.isRunning ? Math.max(0, ...(this.#request.params.stop ?? []).map((stop) => stop.length - 1)) : 0
    const end = Math.max(this.#taken.text, this.#text.length - held)
    const from = kind === 'delta' ? this.#taken : { text: 0, tokens: 0 }
    const tokenIds = this.#tokenIds.slice(from.tokens)
    const wanted = this.#request.params.logprobs ?? null
    const output: CompletionOutput = {
      index: this.#index,
      text: this.#text.slice(from.text, end),
      tokenIds,
      logprobs:
        wanted === null
          ? null
          : tokenIds.map((id, i) => ({
              ...fakeLogprobs(id, wanted, words),
              textOffset: codePoints(this.#tokenIds.slice(0, from.tokens + i).map((before) => words[before] ?? '')),
            })),
      cumulativeLogprob: null,
      finishReason: this.#finishReason,
      stopReason: this.#stopReason,
      message: this.#parses ? this.#message(from.text, end) : null,
    }
    this.#taken = { text: end, tokens: this.#tokenIds.length, isFinished: !this.isRunning }
    return [output]
  }

  /** Of the text between two positions. */
  #message(start: number, end: number): MessageDelta {
    const deltas: MessageDelta[] = []
    let [at, index] = [0, -1]
    for (const word of this.#text.match(/\s*\S+|\s+$/g) ?? []) {
      const begin = word.trimStart()[0]
      if (begin === '!') index++
      const piece = word.slice(Math.max(0, start - at), Math.max(0, end - at))
      at += word.length
      if (piece === '') continue
      const text = piece.trim().slice(1)
      if (begin === '~') deltas.push({ reasoning: text, content: '', toolCalls: [] })
      else if (begin === '!')
        deltas.push(callPiece({ index, id: `call-${this.#index}-${index}`, name: text, arguments: '' }))
      else if (begin === '{') deltas.push(callPiece({ index, id: null, name: null, arguments: `{${text}` }))
      else deltas.push({ reasoning: '', content: piece, toolCalls: [] })
    }
    return joinMessages(deltas)
  }
}

function callPiece(call: ToolCallDelta): MessageDelta {
  return { reasoning: '', content: '', toolCalls: [call] }
}

/** The text comes with the first, the end with the second. */
function halves(whole: CompletionOutput): CompletionOutput[] {
  const { tokenIds, logprobs } = whole
  const half = Math.floor(tokenIds.length / 2)
  const first = { tokenIds: tokenIds.slice(0, half), logprobs: logprobs && logprobs.slice(0, half) }
  const second = { tokenIds: tokenIds.slice(half), logprobs: logprobs && logprobs.slice(half) }
  return [
    { ...whole, ...first, finishReason: null, stopReason: null },
    { ...whole, ...second, text: '', message: whole.message && joinMessages([]) },
  ]
}

function codePoints(texts: readonly string[]): number {
  return Array.from(texts.join('')).length
}

/** The chosen word is the likeliest at log 0.5, the next ids follow at half of it each; the fifth is impossible. */
function fakeLogprobs(tokenId: number, numTop: number, words: readonly string[]): DecodedTokenLogprobs {
  const entry = (rank: number): DecodedLogprob => {
    const id = (tokenId + rank - 1) % Math.max(words.length, 1)
    const token = words[id] ?? ''
    return {
      tokenId: id,
      logprob: rank === 5 ? -Infinity : rank * Math.log(0.5),
      rank,
      token,
      bytes: [...Buffer.from(token)],
    }
  }
  return { chosen: entry(1), top: Array.from({ length: numTop }, (_, index) => entry(index + 1)) }
}

function truncate(ids: readonly number[], { truncatePromptTokens, truncationSide }: PoolingRequest): readonly number[] {
  if (truncatePromptTokens == null || truncatePromptTokens < 0) return ids
  return truncationSide === 'left' ? ids.slice(-truncatePromptTokens) : ids.slice(0, truncatePromptTokens)
}

function promptText({ prompt }: Pick<GenerateRequest, 'prompt'>): string | null {
  switch (prompt.type) {
    case 'text':
      return prompt.text
    case 'tokens':
      return null
    case 'chat':
      return prompt.messages
        .map(({ content }) =>
          typeof content === 'string'
            ? content
            : (content ?? []).map((part) => (typeof part === 'string' ? part : part.text)).join(''),
        )
        .join(' ')
  }
}

function tokenIdsOf({ prompt }: Pick<GenerateRequest, 'prompt'>): readonly number[] {
  return prompt.type === 'tokens' ? prompt.tokenIds : []
}

function rejectOnAbort(signal: AbortSignal | undefined): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  promise.catch(() => undefined)
  if (signal?.aborted === true) reject(signal.reason)
  signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
  return promise
}
