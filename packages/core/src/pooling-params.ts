import { InvalidRequestError, type MessagePart } from './errors.ts'
import { nearestName } from './util/nearest-name.ts'

/** What comes of a prompt without generating: one vector (`embed`, `classify`), or one for each of its tokens. vLLM's names. */
export type PoolingTask = 'embed' | 'classify' | 'token_embed' | 'token_classify'

/** What a model can be asked for. */
export type ModelTask = 'generate' | PoolingTask

export const poolingTasks: readonly PoolingTask[] = ['embed', 'classify', 'token_embed', 'token_classify']

/** What a model makes of prompts besides text: plain data, which clients see too. */
export interface PoolingInfo {
  /** Numbers of a whole embedding. */
  readonly dimensions: number
  /** Lengths that embeddings may be cut to (Matryoshka); `null`: they are whole. */
  readonly matryoshkaDimensions: readonly number[] | 'any' | null
  /** Whether embeddings have length 1 where a request does not say. */
  readonly isNormalized: boolean
  /** Of the classifier; `null` where there is none. */
  readonly numLabels: number | null
  /** Their names in order; `null` where there is no classifier, or they have none. */
  readonly labels: readonly string[] | null
  /** Whether two texts can be one prompt: a cross-encoder. */
  readonly acceptsPairs: boolean
  /** Texts that the model was trained to see before others, by name (`query`, `passage`): who wants one puts it there. */
  readonly prompts: Readonly<Record<string, string>>
}

/** Pooling parameters, complete and frozen; plain data that crosses threads. */
export interface PoolingParams {
  readonly task: PoolingTask
  /** The first so many numbers of an embedding; `null`: all. */
  readonly dimensions: number | null
  /** Of embeddings: length 1. Of classes: probabilities in place of logits. */
  readonly useActivation: boolean
}

/** What a caller gives; `undefined` and `null` count as absent. */
export interface PoolingParamsInput {
  readonly task: PoolingTask
  readonly dimensions?: number | null | undefined
  /** Default: as the checkpoint says for embeddings, true for classes. */
  readonly useActivation?: boolean | null | undefined
}

/** What a model allows. */
export interface PoolingLimits {
  readonly tasks: readonly ModelTask[]
  /** `null`: it only generates. */
  readonly pooling: PoolingInfo | null
}

const inputNames = ['task', 'dimensions', 'useActivation']

/**
 * Fills defaults and validates.
 * @throws InvalidRequestError naming the parameter, its value and what is allowed; unknown names are errors too
 */
export function resolvePoolingParams(input: PoolingParamsInput, limits: PoolingLimits): PoolingParams {
  for (const name of Object.keys(input)) {
    if (!inputNames.includes(name))
      fail(name, `is not a pooling parameter; the known ones are ${inputNames.join(', ')}`)
  }
  const { task } = input
  if (!poolingTasks.includes(task))
    fail('task', `must be ${listOf(poolingTasks, 'or')}, got ${show(task)}${hint(task)}`)
  const { pooling } = limits
  if (pooling === null || !limits.tasks.includes(task)) throw unsupportedTask(task, limits.tasks)
  const isEmbedding = task === 'embed' || task === 'token_embed'
  const dimensions = input.dimensions ?? null
  if (dimensions !== null) {
    if (!isEmbedding) fail('dimensions', `is for embeddings; the task ${task} has one number per label`)
    checkDimensions(dimensions, pooling)
  }
  const useActivation = input.useActivation ?? (isEmbedding ? pooling.isNormalized : true)
  if (typeof useActivation !== 'boolean') fail('useActivation', `must be a boolean, got ${show(useActivation)}`)
  return Object.freeze({ task, dimensions: dimensions === pooling.dimensions ? null : dimensions, useActivation })
}

/** The model does not do this. */
export function unsupportedTask(task: ModelTask, tasks: readonly ModelTask[]): InvalidRequestError {
  return new InvalidRequestError(
    `This model does not do the task '${task}'; it does ${listOf(tasks, 'and')}. Ask for one of these, or load another model.`,
    'task',
  )
}

function checkDimensions(wanted: number, { dimensions, matryoshkaDimensions }: PoolingInfo): void {
  if (!Number.isSafeInteger(wanted) || wanted < 1 || wanted > dimensions)
    fail('dimensions', `must be an integer from 1 to ${dimensions}, got ${show(wanted)}`)
  if (wanted === dimensions || matryoshkaDimensions === 'any') return
  if (matryoshkaDimensions === null)
    fail(
      'dimensions',
      `is ${wanted}, but this model's embeddings were not trained to be cut (Matryoshka): they have ${dimensions} numbers. Leave it out`,
    )
  if (!matryoshkaDimensions.includes(wanted))
    fail(
      'dimensions',
      `must be one of ${matryoshkaDimensions.join(', ')}, for which this model's embeddings were trained, got ${wanted}`,
    )
}

function hint(task: unknown): string {
  const nearest = typeof task === 'string' ? nearestName(task, poolingTasks) : null
  return nearest === null ? '' : `; did you mean ${nearest}?`
}

function listOf(names: readonly string[], word: string): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} ${word} ${names.at(-1)}`
}

function show(value: unknown): string {
  return typeof value === 'string' || typeof value === 'object'
    ? (JSON.stringify(value) ?? 'undefined').slice(0, 80)
    : String(value)
}

function fail(name: string, reason: string | readonly MessagePart[]): never {
  throw new InvalidRequestError([{ field: name }, ' ', ...(typeof reason === 'string' ? [reason] : reason), '.'], name)
}
