import { cosine, InvalidRequestError, scoringOf } from '@octavo/core'
import type { PoolingOutput, PoolingRequest, TurnQueue } from '@octavo/core'
import type { PoolingOptions } from '@octavo/sdk/protocol'
import { HttpError } from '../http-error.ts'
import type { Pooling } from './open-pooling.ts'
import { commonPoolingFields } from './open-pooling.ts'
import { PoolingUsage, poolPrompts } from './pool-prompts.ts'
import { collect } from './pooling-answer.ts'

export interface ScoredPairs {
  /** One for each text of the second side. */
  readonly scores: readonly number[]
  readonly usage: PoolingUsage
}

interface ScoreOptions {
  readonly body: PoolingOptions
  readonly pooling: Pooling
  readonly turns: TurnQueue
}

/**
 * How well each text of the second side goes with the one in its place on the first, or with the only one there. A model
 * with one class reads both texts at once (a cross-encoder); of one that embeds it is the cosine of their embeddings.
 */
export async function scorePairs(
  first: readonly string[],
  second: readonly string[],
  options: ScoreOptions,
): Promise<ScoredPairs> {
  const { servedModel } = options.pooling
  const { pooling: info, id } = servedModel
  const scoring = scoringOf(servedModel)
  if (scoring === 'cross-encoder') return classifyPairs(first, second, options)
  if (scoring === 'bi-encoder') return comparePairs(first, second, options)
  const message = `The model "${id}" tells ${info?.numLabels ?? 0} classes apart, and a score needs a model with one class, or one that embeds; ask /classify.`
  throw new HttpError(400, message, { param: 'model' })
}

async function classifyPairs(
  first: readonly string[],
  second: readonly string[],
  options: ScoreOptions,
): Promise<ScoredPairs> {
  const { body } = options
  if (first.length === 1) checkRepeated(first[0]!, second.length)
  const outputs = await poolTexts(options, {
    params: { task: 'classify', useActivation: body.use_activation },
    texts: second.map((pair, index) => ({ text: first[first.length === 1 ? 0 : index]!, pair })),
  })
  return { scores: outputs.map(({ data }) => data[0]!), usage: usageOf(outputs) }
}

/** In characters: more than a context's worth for each of as many texts as a body may have, where the context is a reranker's. */
const maxRepeated = 16 * 1024 * 1024

/** The one text is tokenized anew with each of the others, which a body of its size would not show. @throws InvalidRequestError */
function checkRepeated({ length }: string, numPairs: number): void {
  if (length * numPairs <= maxRepeated) return
  const most = Math.max(1, Math.floor(maxRepeated / length))
  throw new InvalidRequestError(
    `The text that all others go with has ${length} characters, too many to be read with each of ${numPairs} others; shorten it, or send at most ${most} others at once.`,
    'prompt',
  )
}

async function comparePairs(
  first: readonly string[],
  second: readonly string[],
  options: ScoreOptions,
): Promise<ScoredPairs> {
  const params = { task: 'embed', useActivation: options.body.use_activation } as const
  const outputs = await poolTexts(options, { params, texts: [...first, ...second].map((text) => ({ text })) }).catch(
    (error: unknown) => rethrow(error),
  )
  const vectors = outputs.map(({ data }) => data)
  const others = vectors.splice(first.length)
  const scores = others.map((vector, index) => cosine(vectors[first.length === 1 ? 0 : index]!, vector))
  return { scores, usage: usageOf(outputs) }
}

interface Texts {
  readonly params: PoolingRequest['params']
  readonly texts: readonly { readonly text: string; readonly pair?: string }[]
}

function poolTexts({ body, pooling, turns }: ScoreOptions, { params, texts }: Texts): Promise<PoolingOutput[]> {
  const { signal, pool, engineRequestId } = pooling
  const common = commonPoolingFields(body, pooling)
  const requests = texts.map(({ text, pair }, index) => ({
    ...common,
    requestId: `${engineRequestId}-${index}`,
    prompt: { type: 'text', text } as const,
    ...(pair !== undefined && { pair }),
    params,
  }))
  return collect(poolPrompts(requests, { turns, signal, pool }))
}

/** Which of the two sides a text is of, the engine does not know. */
function rethrow(error: unknown): never {
  if (error instanceof InvalidRequestError && error.param === 'prompt')
    throw new InvalidRequestError(error.parts ?? error.message, null)
  throw error
}

function usageOf(outputs: readonly PoolingOutput[]): PoolingUsage {
  const usage = new PoolingUsage()
  for (const output of outputs) usage.add(output)
  return usage
}
