import type { PoolingConfig } from '../config/pooling-config.ts'
import { InvalidRequestError } from '../errors.ts'
import { type ModelTask, type PoolingInfo, type PoolingParams, resolvePoolingParams } from '../pooling-params.ts'
import { defaultSamplingParams } from '../sampling-params.ts'
import type { SequencePooling } from '../sequence/sequence-pooling.ts'
import type { SequenceRequest } from '../sequence/sequence.ts'
import type { TurnOptions, TurnQueue } from '../util/turn-queue.ts'
import { keptPositions } from './cut-bodies.ts'
import type { PoolingRequest } from './engine-client.ts'
import {
  cacheKeysOf,
  checkPriority,
  checkPromptLength,
  PromptProcessor,
  type PromptProcessorOptions,
  type PromptRequest,
  tokensToKeep,
} from './prompt-processor.ts'

export interface PoolingProcessorOptions extends PromptProcessorOptions {
  /** Everything that takes time on this thread goes through it. */
  readonly turns: TurnQueue
  readonly longPromptThreshold: number | null
  readonly hasPriorities: boolean
  readonly pooling: PoolingConfig
}

interface PooledPrompt {
  readonly tokenIds: readonly number[]
  /** `null`: all tokens are of one text. */
  readonly typeIds: readonly number[] | null
}

/** A prompt as a sequence that ends with it. */
export class PoolingProcessor {
  readonly #options: PoolingProcessorOptions
  readonly #prompts: PromptProcessor
  readonly #limits: { readonly tasks: readonly ModelTask[]; readonly pooling: PoolingInfo | null }

  constructor(options: PoolingProcessorOptions) {
    this.#options = options
    this.#prompts = new PromptProcessor(options)
    this.#limits = { tasks: tasksOf(options.pooling), pooling: poolingInfoOf(options.pooling) }
  }

  /** @throws InvalidRequestError | ContextLengthError | ChatTemplateError */
  async process(request: PoolingRequest, arrivalTime: number, signal?: AbortSignal): Promise<SequenceRequest> {
    const { maxModelLen, hasPriorities, longPromptThreshold, pooling } = this.#options
    const { priority = 0 } = request
    checkPriority(priority, hasPriorities)
    const params = resolvePoolingParams(request.params, this.#limits)
    const prompt = poolingPrompt(request)
    const room = { maxModelLen, room: maxModelLen }
    const keep = tokensToKeep(request, room)
    // The prompts that come together are one caller's: they have their parameters in common.
    const turn = { caller: request.params, signal }
    const { pair } = request
    const encoded = pair == null ? this.#encode(prompt, keep, turn) : this.#encodePair(prompt, pair, { keep, turn })
    const { tokenIds, typeIds } = await encoded
    checkPromptLength(tokenIds, room)
    return {
      id: `${request.requestId}#0`,
      promptTokenIds: tokenIds,
      params: neutralParams,
      pooling: sequencePooling(params, pooling),
      ...(typeIds?.some((id) => id !== 0) && { tokenTypeIds: typeIds }),
      eosTokenIds: [],
      priority,
      arrivalTime,
      cacheSalt: request.cacheSalt ?? null,
      cacheKeys: cacheKeysOf(tokenIds.length, longPromptThreshold),
      forkOf: null,
    }
  }

  async #encode(request: CutRequest, keep: number | null, turn: TurnOptions): Promise<PooledPrompt> {
    const { turns } = this.#options
    const { signal } = turn
    const { text, tokenIds } = await turns.run(() => this.#prompts.encode(request, { hasOutput: false, signal }), turn)
    if (keep === null || tokenIds.length <= keep) return { tokenIds, typeIds: null }
    const bodies = text === null ? [tokenIds] : [await this.#body(text, request, turn)]
    const kept = keptPositions(tokenIds, bodies, { keep, side: request.truncationSide })
    return { tokenIds: kept.map((at) => tokenIds[at]!), typeIds: null }
  }

  async #encodePair(
    request: CutRequest,
    pair: string,
    { keep, turn }: { keep: number | null; turn: TurnOptions },
  ): Promise<PooledPrompt> {
    const { turns, pooling } = this.#options
    const { prompt, truncationSide: side } = request
    if (!acceptsPairs(pooling)) throw noPairsError()
    if (prompt.type !== 'text')
      throw new InvalidRequestError(['A ', { field: 'pair' }, ' needs a prompt that is a text too.'], 'pair')
    if (pooling.pairs === 'concatenated')
      return this.#encode({ ...request, prompt: { ...prompt, text: prompt.text + pair } }, keep, turn)
    const texts: [string, string] = [prompt.text, pair]
    const { tokenIds, typeIds } = await turns.run(() => this.#prompts.encodePair(texts, request, turn.signal), turn)
    if (keep === null || tokenIds.length <= keep) return { tokenIds, typeIds }
    const bodies = [await this.#body(prompt.text, request, turn), await this.#body(pair, request, turn)]
    const kept = keptPositions(tokenIds, bodies, { keep, side })
    return { tokenIds: kept.map((at) => tokenIds[at]!), typeIds: kept.map((at) => typeIds[at]!) }
  }

  #body(text: string, request: CutRequest, turn: TurnOptions): Promise<number[]> {
    return this.#options.turns.run(() => this.#prompts.encodeBody(text, request, turn.signal), turn)
  }
}

type CutRequest = PromptRequest & Required<Pick<PromptRequest, 'truncationSide'>>

/** Nothing answers: a conversation ends with its last message. Of a text that is too long the beginning counts. */
function poolingPrompt({ prompt, truncatePromptTokens = null, truncationSide = 'right' }: PoolingRequest): CutRequest {
  const own = prompt.type === 'chat' ? { addGenerationPrompt: false, ...prompt } : prompt
  return { prompt: own, truncatePromptTokens, truncationSide }
}

/** What the model does, by vLLM's names. */
export function tasksOf({ tasks, canGenerate }: PoolingConfig): readonly ModelTask[] {
  return canGenerate ? ['generate', ...tasks] : tasks
}

/** `null` where the model only generates. */
export function poolingInfoOf(config: PoolingConfig): PoolingInfo | null {
  if (config.tasks.length === 0) return null
  const { dimensions, matryoshka, isNormalized, classifier, prompts } = config
  return {
    dimensions,
    matryoshkaDimensions: matryoshka,
    isNormalized,
    numLabels: classifier?.numLabels ?? null,
    labels: classifier?.labels ?? null,
    acceptsPairs: acceptsPairs(config),
    prompts,
  }
}

/** What reads two texts is a classifier of both together. */
function acceptsPairs({ tasks }: PoolingConfig): boolean {
  return tasks.includes('classify')
}

function sequencePooling({ task, dimensions, useActivation }: PoolingParams, config: PoolingConfig): SequencePooling {
  const head = task === 'embed' || task === 'token_embed' ? 'embed' : 'classify'
  const own = head === 'embed' ? 'normalize' : (config.classifier?.activation ?? 'none')
  return {
    head,
    type: task === 'embed' || task === 'classify' ? config.type : 'all',
    dimensions,
    activation: useActivation ? own : 'none',
  }
}

/** One token at most is what never comes: whatever asks how far the sequence may go hears that it ends. */
const neutralParams = Object.freeze({ ...defaultSamplingParams, maxTokens: 1 })

function noPairsError(): InvalidRequestError {
  return new InvalidRequestError(
    [
      { field: 'pair' },
      ' is for cross-encoders, which classify two texts together; this model has no classifier. Leave it out, and compare the embeddings of both.',
    ],
    'pair',
  )
}
