import { randomUUID } from 'node:crypto'
import { InvalidRequestError } from '../errors.ts'
import { type PoolingParamsInput, type PoolingTask, unsupportedTask } from '../pooling-params.ts'
import type { EngineClient, PoolingOutput, PromptInput, ServedModel } from './engine-client.ts'
import { cosine, scoringOf } from './read-vectors.ts'
import { runAll } from './run-all.ts'

/** How prompts become vectors, by `LLM.encode` and its special cases. */
export interface PoolingOptions {
  /** Run the tokenizer's post-processor on text prompts. Default true. */
  readonly addSpecialTokens?: boolean
  /** Keep only so many tokens of the prompt, special ones included; -1: as many as the context has. Default: too long is an error. */
  readonly truncatePromptTokens?: number
  /** Where tokens are dropped. Default 'right': the beginning is kept. */
  readonly truncationSide?: 'left' | 'right'
  /** Embeddings of length 1, probabilities of classes. Default: as the checkpoint says for embeddings, true for classes. */
  readonly useActivation?: boolean
  /** Lower runs earlier, with the priority policy only. Default 0. */
  readonly priority?: number
  readonly signal?: AbortSignal
}

export interface EncodeOptions extends PoolingOptions {
  readonly task: PoolingTask
  /** As `EmbedOptions`'. */
  readonly dimensions?: number
}

export interface EmbedOptions extends PoolingOptions {
  /** The first so many numbers only, for models that were trained to be cut (Matryoshka). */
  readonly dimensions?: number
  /** One of the model's own (`query`, `passage`), which is put before each text. Default: none. */
  readonly promptName?: string
}

/** What all answers have. */
interface OfPrompt {
  readonly requestId: string
  readonly promptTokenIds: readonly number[]
  /** Prompt tokens whose KV came from the prefix cache. */
  readonly numCachedTokens: number
}

export interface EmbeddingOutput extends OfPrompt {
  readonly embedding: Float32Array
}

export interface ClassificationOutput extends OfPrompt {
  /** Of each label; logits with `useActivation: false`. */
  readonly probs: Float32Array
  /** Of the highest; `null` where labels have no names. */
  readonly label: string | null
}

export interface ScoringOutput extends OfPrompt {
  /** A cross-encoder's, or the cosine of two embeddings. */
  readonly score: number
}

type Engine = Required<Pick<EngineClient, 'pool'>> & Pick<EngineClient, 'models'>

/** Vectors of each prompt; one that fails ends the call. */
export function encodeAll(
  engine: Engine,
  prompts: readonly PromptInput[],
  { task, dimensions, useActivation, addSpecialTokens: _, ...options }: EncodeOptions,
): Promise<PoolingOutput[]> {
  return poolAll(
    engine,
    prompts.map((prompt) => ({ prompt })),
    { params: paramsOf({ task, dimensions, useActivation }), options },
  )
}

/** @throws InvalidRequestError where the model has no such prompt */
export function withNamedPrompt(
  prompts: readonly PromptInput[],
  name: string,
  { pooling }: ServedModel,
): PromptInput[] {
  const known = Object.keys(pooling?.prompts ?? {})
  if (!known.includes(name)) {
    const all = known.length === 0 ? 'it has none' : `it has ${known.join(', ')}`
    throw new InvalidRequestError(
      [{ field: 'promptName' }, ` is ${JSON.stringify(name)}, which this model has no prompt for: ${all}.`],
      'promptName',
    )
  }
  return prompts.map((prompt) => {
    if (prompt.type === 'text') return { ...prompt, text: `${pooling?.prompts[name]}${prompt.text}` }
    throw new InvalidRequestError(['A ', { field: 'promptName' }, ' needs prompts that are texts.'], 'promptName')
  })
}

/**
 * A number for each pair: of a cross-encoder with one label what it says of both together, of an embedder their cosine.
 * @throws InvalidRequestError where the model is neither, or the texts are not pairs
 */
export async function scoreAll(
  engine: Engine,
  [first, second]: readonly [readonly string[], readonly string[]],
  options: PoolingOptions,
): Promise<ScoringOutput[]> {
  const [model] = engine.models
  const pairs = pairsOf(first, second)
  const scoring = model === undefined ? null : scoringOf(model)
  if (scoring === null) throw noScoresError(model)
  return scoring === 'cross-encoder' ? scoreTogether(engine, pairs, options) : scoreApart(engine, pairs, options)
}

async function scoreTogether(
  engine: Engine,
  pairs: readonly TextPair[],
  { useActivation, addSpecialTokens, ...options }: PoolingOptions,
): Promise<ScoringOutput[]> {
  const requests = pairs.map(([text, pair]) => ({ prompt: textInput(text, addSpecialTokens), pair }))
  const outputs = await poolAll(engine, requests, { params: paramsOf({ task: 'classify', useActivation }), options })
  return outputs.map(({ data, shape: _, ...output }) => ({ ...output, score: data[0]! }))
}

/** Each text is embedded once, however many pairs it is in. */
async function scoreApart(
  engine: Engine,
  pairs: readonly TextPair[],
  { addSpecialTokens, ...options }: PoolingOptions,
): Promise<ScoringOutput[]> {
  const texts = [...new Set(pairs.flat())]
  const prompts = texts.map((text) => textInput(text, addSpecialTokens))
  const outputs = await encodeAll(engine, prompts, { task: 'embed', ...options })
  const byText = new Map(texts.map((text, i) => [text, outputs[i]!]))
  return pairs.map((pair) => {
    const [a, b] = pair.map((text) => byText.get(text)!) as [PoolingOutput, PoolingOutput]
    return {
      requestId: randomUUID(),
      promptTokenIds: [...a.promptTokenIds, ...b.promptTokenIds],
      numCachedTokens: a.numCachedTokens + b.numCachedTokens,
      score: cosine(a.data, b.data),
    }
  })
}

type TextPair = readonly [string, string]

/** One with each of many, or each with the one in its place. */
function pairsOf(first: readonly string[], second: readonly string[]): TextPair[] {
  if (first.length === 1) return second.map((text) => [first[0]!, text])
  if (first.length === second.length) return second.map((text, i) => [first[i]!, text])
  throw new InvalidRequestError(
    `${first.length} texts cannot be scored against ${second.length}: give one and many, or as many of each.`,
    'pair',
  )
}

interface PoolRequest {
  readonly prompt: PromptInput
  readonly pair?: string
}

interface PoolCall {
  readonly params: PoolingParamsInput
  readonly options: Omit<PoolingOptions, 'useActivation' | 'addSpecialTokens'>
}

function poolAll(
  engine: Engine,
  requests: readonly PoolRequest[],
  { params, options: { signal, ...options } }: PoolCall,
): Promise<PoolingOutput[]> {
  return runAll(
    requests,
    (request, _, either) => engine.pool({ requestId: randomUUID(), ...request, params, ...options }, either),
    signal,
  )
}

/** Frozen, so that it is known to be one caller's. */
function paramsOf(params: PoolingParamsInput): PoolingParamsInput {
  return Object.freeze(params)
}

function textInput(text: string, addSpecialTokens = true): PromptInput {
  return { type: 'text', text, addSpecialTokens }
}

function noScoresError(model: ServedModel | undefined): InvalidRequestError {
  const tasks = model?.tasks ?? []
  if (!tasks.includes('classify')) return unsupportedTask('embed', tasks)
  return new InvalidRequestError(
    `Scores need a model that embeds, or one that classifies with one label; this one has ${model?.pooling?.numLabels ?? 0} labels. Use classify, or load another model.`,
    'task',
  )
}
