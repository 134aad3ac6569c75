import { InvalidRequestError, type MessagePart } from './errors.ts'
import type { StructuredOutput } from './structured-output/structured-output.ts'

/** Sampling parameters with vLLM's semantics, complete and frozen; plain data that crosses threads. */
export interface SamplingParams {
  /** Samples per prompt. */
  readonly n: number
  /** Output tokens at most; `null` = up to the model's context. */
  readonly maxTokens: number | null
  /** End-of-sequence and stop tokens are impossible before this many output tokens. */
  readonly minTokens: number
  /** 0 = greedy. */
  readonly temperature: number
  readonly topP: number
  /** 0 = off. */
  readonly topK: number
  readonly minP: number
  readonly presencePenalty: number
  readonly frequencyPenalty: number
  readonly repetitionPenalty: number
  /** `null`: the engine draws one. Sample `i` of `n` uses `seed + i`. */
  readonly seed: number | null
  readonly stop: readonly string[]
  readonly stopTokenIds: readonly number[]
  readonly includeStopStrInOutput: boolean
  readonly ignoreEos: boolean
  /** Most likely tokens to report per output token; -1 = the whole vocabulary, `null` = off. Values are before penalties and temperature. */
  readonly logprobs: number | null
  readonly promptLogprobs: number | null
  /** Token id → bias, added to the logit after clamping to [-100, 100]. */
  readonly logitBias: Readonly<Record<number, number>> | null
  readonly allowedTokenIds: readonly number[] | null
  readonly badWords: readonly string[]
  /** Token sequences whose last token is banned after the others; the engine adds those of `badWords`. */
  readonly badWordsTokenIds: readonly (readonly number[])[]
  readonly structuredOutput: StructuredOutput | null
  /** A `TagFormat` as JSON text, which the output matches: what the engine makes of `structuredOutput` and of tools. */
  readonly grammar: string | null
  /** Tokens of thinking at most, before its end is forced; `null` or -1 = as many as the model likes. For models whose format marks thinking. */
  readonly thinkingTokenBudget: number | null
  /** What the engine makes of `thinkingTokenBudget`. */
  readonly thinking: ThinkingLimit | null
  readonly skipSpecialTokens: boolean
  readonly spacesBetweenSpecialTokens: boolean
  readonly detokenize: boolean
}

/** After `maxTokens` of thinking the tokens of its end marker are forced, one by one. */
export interface ThinkingLimit {
  readonly maxTokens: number
  /** What opens thinking; empty where only the prompt can. */
  readonly startTokenIds: readonly number[]
  readonly endTokenIds: readonly number[]
  /** The prompt ends within thinking: the first output token is one of it. */
  readonly isOpen: boolean
}

/** What the engine derives itself. */
type DerivedParam = 'grammar' | 'thinking'

/** What a caller gives: any of the parameters; `undefined` counts as absent. Seeds beyond 2^53 are bigints, of 64 bits at most. */
export type SamplingParamsInput = Partial<{
  -readonly [K in Exclude<keyof SamplingParams, DerivedParam>]:
    | SamplingParams[K]
    | (K extends 'seed' ? bigint : never)
    | undefined
}>

/** vLLM's defaults. */
export const defaultSamplingParams: SamplingParams = Object.freeze({
  n: 1,
  maxTokens: 16,
  minTokens: 0,
  temperature: 1,
  topP: 1,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  seed: null,
  stop: [],
  stopTokenIds: [],
  includeStopStrInOutput: false,
  ignoreEos: false,
  logprobs: null,
  promptLogprobs: null,
  logitBias: null,
  allowedTokenIds: null,
  badWords: [],
  badWordsTokenIds: [],
  structuredOutput: null,
  grammar: null,
  thinkingTokenBudget: null,
  thinking: null,
  skipSpecialTokens: true,
  spacesBetweenSpecialTokens: true,
  detokenize: true,
})

const derivedParams: readonly string[] = ['grammar', 'thinking'] satisfies DerivedParam[]
const inputNames = Object.keys(defaultSamplingParams).filter((name) => !derivedParams.includes(name))

/** What a model and an engine allow. */
export interface SamplingLimits {
  readonly vocabSize: number
  /** `--max-logprobs`: cap on `logprobs` and `promptLogprobs`; -1 = no cap. */
  readonly maxLogprobs: number
}

/** Temperatures below this are greedy; those between it and 0.01 are raised to 0.01 (vLLM's rule). */
const greedyTemperature = 1e-5
const minTemperature = 0.01
const maxSamplesPerPrompt = 16_384
const maxStopStrings = 64
const maxStopLength = 4096
/** Of all bad words together: they are tokenized before the request runs. */
const maxBadWordsLength = 65_536

/**
 * Fills defaults and validates. An `undefined` value counts as absent.
 * @throws InvalidRequestError naming the parameter, its value and the allowed range; unknown names are errors too.
 */
export function resolveSamplingParams(
  input: SamplingParamsInput,
  limits: SamplingLimits,
  defaults: SamplingParams = defaultSamplingParams,
): SamplingParams {
  for (const name of Object.keys(input)) {
    if (!inputNames.includes(name))
      fail(name, `is not a sampling parameter; the known ones are ${inputNames.join(', ')}`)
  }
  const given = Object.fromEntries(
    Object.entries(input)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [name, name === 'seed' && typeof value === 'bigint' ? foldSeed(value) : value]),
  ) as Partial<SamplingParams>
  const params: SamplingParams = { ...defaults, ...given }

  checkRanges(params)
  checkLists(params, limits)
  checkFlags(params)

  const isGreedy = params.temperature < greedyTemperature
  if (isGreedy && params.n > 1)
    fail('n', ['must be 1 with ', { field: 'temperature' }, ` 0 (greedy), got ${params.n}: all samples would be equal`])
  return Object.freeze({
    ...params,
    temperature: isGreedy ? 0 : Math.max(params.temperature, minTemperature),
    topK: isGreedy || params.topK === -1 ? 0 : params.topK,
    topP: isGreedy ? 1 : params.topP,
    minP: isGreedy ? 0 : params.minP,
    seed: params.seed === -1 ? null : params.seed,
    thinkingTokenBudget: params.thinkingTokenBudget === -1 ? null : params.thinkingTokenBudget,
    // A copy, by which what is compiled of it is found again.
    stop: [...params.stop],
    // Looked through at every token: without repetitions they are no more than the vocabulary.
    stopTokenIds: [...new Set(params.stopTokenIds)],
    allowedTokenIds: params.allowedTokenIds && [...new Set(params.allowedTokenIds)],
  })
}

/** Random numbers take 53 bits of seed: what has more is mixed down to that (the finalizer of MurmurHash3), so that no bit is lost in silence. */
function foldSeed(seed: bigint): number {
  if (seed >= Number.MIN_SAFE_INTEGER && seed <= Number.MAX_SAFE_INTEGER) return Number(seed)
  if (BigInt.asIntN(64, seed) !== seed && BigInt.asUintN(64, seed) !== seed)
    fail('seed', `must be an integer of at most 64 bits, got ${seed}`)
  let x = BigInt.asUintN(64, seed)
  x = BigInt.asUintN(64, (x ^ (x >> 33n)) * 0xff51afd7ed558ccdn)
  x = BigInt.asUintN(64, (x ^ (x >> 33n)) * 0xc4ceb9fe1a85ec53n)
  return Number((x ^ (x >> 33n)) >> 11n)
}

function checkRanges(params: SamplingParams): void {
  checkInteger('n', params.n, [1, maxSamplesPerPrompt])
  if (params.maxTokens !== null) checkInteger('maxTokens', params.maxTokens, [1, Number.MAX_SAFE_INTEGER])
  checkInteger('minTokens', params.minTokens, [0, params.maxTokens ?? Number.MAX_SAFE_INTEGER])
  checkNumber('temperature', params.temperature, [0, 2])
  checkNumber('topP', params.topP, [0, 1])
  if (params.topP === 0) fail('topP', 'must be in (0, 1], got 0')
  checkInteger('topK', params.topK, [-1, Number.MAX_SAFE_INTEGER])
  checkNumber('minP', params.minP, [0, 1])
  checkNumber('presencePenalty', params.presencePenalty, [-2, 2])
  checkNumber('frequencyPenalty', params.frequencyPenalty, [-2, 2])
  checkNumber('repetitionPenalty', params.repetitionPenalty, [0, Number.MAX_VALUE])
  if (params.repetitionPenalty === 0) fail('repetitionPenalty', 'must be greater than 0, got 0')
  if (params.thinkingTokenBudget !== null)
    checkInteger('thinkingTokenBudget', params.thinkingTokenBudget, [-1, Number.MAX_SAFE_INTEGER])
  if (params.seed !== null) checkInteger('seed', params.seed, [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER])
}

function checkLists(params: SamplingParams, limits: SamplingLimits): void {
  checkStop(params)
  checkTokenIds('stopTokenIds', params.stopTokenIds, limits.vocabSize)
  checkLogprobs('logprobs', params.logprobs, limits)
  checkLogprobs('promptLogprobs', params.promptLogprobs, limits)
  checkLogitBias(params.logitBias, limits.vocabSize)
  if (params.allowedTokenIds !== null) {
    if (params.allowedTokenIds.length === 0)
      fail('allowedTokenIds', 'must not be empty; leave it out to allow all tokens')
    checkTokenIds('allowedTokenIds', params.allowedTokenIds, limits.vocabSize)
  }
  checkBadWords(params.badWords)
  if (!Array.isArray(params.badWordsTokenIds)) fail('badWordsTokenIds', 'must be an array of token id arrays')
  for (const ids of params.badWordsTokenIds) checkTokenIds('badWordsTokenIds', ids, limits.vocabSize)
}

function checkFlags(params: SamplingParams): void {
  for (const name of [
    'includeStopStrInOutput',
    'ignoreEos',
    'skipSpecialTokens',
    'spacesBetweenSpecialTokens',
    'detokenize',
  ] as const) {
    if (typeof params[name] !== 'boolean') fail(name, `must be a boolean, got ${show(params[name])}`)
  }
}

function checkStop({ stop, detokenize }: SamplingParams): void {
  checkStrings('stop', stop)
  if (stop.length > maxStopStrings) fail('stop', `has ${stop.length} strings; at most ${maxStopStrings} are allowed`)
  for (const text of stop) {
    if (text.length > maxStopLength)
      fail('stop', `has a string of ${text.length} characters; at most ${maxStopLength} are allowed`)
  }
  if (stop.length > 0 && !detokenize)
    fail('stop', [
      'needs text, so it cannot be used with ',
      { field: 'detokenize' },
      ': false; use ',
      { field: 'stopTokenIds' },
    ])
}

function checkBadWords(words: readonly string[]): void {
  checkStrings('badWords', words)
  const length = words.reduce((total, word) => total + word.length, 0)
  if (length > maxBadWordsLength)
    fail('badWords', `have ${length} characters together; at most ${maxBadWordsLength} are allowed`)
}

function checkStrings(name: string, values: readonly string[]): void {
  if (!Array.isArray(values)) fail(name, `must be an array of strings, got ${show(values)}`)
  for (const value of values) {
    if (typeof value !== 'string' || value.length === 0) fail(name, `must hold non-empty strings, got ${show(value)}`)
    // Half a character would match inside of one, and cut it.
    if (!value.isWellFormed()) fail(name, `must hold whole characters, got the lone surrogate of ${show(value)}`)
  }
}

function checkLogprobs(name: string, value: number | null, { maxLogprobs, vocabSize }: SamplingLimits): void {
  if (value === null) return
  checkInteger(name, value, [-1, Number.MAX_SAFE_INTEGER])
  const wanted = value === -1 ? vocabSize : value
  if (maxLogprobs !== -1 && wanted > maxLogprobs) {
    fail(
      name,
      `asks for ${wanted} tokens, but this engine reports at most ${maxLogprobs}; raise its maxLogprobs option`,
    )
  }
}

function checkLogitBias(bias: SamplingParams['logitBias'], vocabSize: number): void {
  if (bias === null) return
  if (typeof bias !== 'object') fail('logitBias', `must be an object of token id → bias, got ${show(bias)}`)
  for (const [id, value] of Object.entries(bias)) {
    checkTokenId('logitBias', Number(id), vocabSize)
    if (typeof value !== 'number' || Number.isNaN(value))
      fail('logitBias', `of token ${id} must be a number, got ${show(value)}`)
  }
}

function checkTokenIds(name: string, ids: readonly number[], vocabSize: number): void {
  if (!Array.isArray(ids)) fail(name, `must be an array of token ids, got ${show(ids)}`)
  for (const id of ids) checkTokenId(name, id, vocabSize)
}

function checkTokenId(name: string, id: unknown, vocabSize: number): void {
  if (Number.isSafeInteger(id) && (id as number) >= 0 && (id as number) < vocabSize) return
  fail(name, `has token id ${show(id)}, which is out of vocabulary: this model's ids run from 0 to ${vocabSize - 1}`)
}

function checkInteger(name: string, value: unknown, [min, max]: readonly [number, number]): void {
  if (!Number.isSafeInteger(value) || (value as number) < min || (value as number) > max) {
    fail(name, `must be an integer ${rangeText(min, max)}, got ${show(value)}`)
  }
}

function checkNumber(name: string, value: unknown, [min, max]: readonly [number, number]): void {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < min || value > max) {
    fail(name, `must be a number ${rangeText(min, max)}, got ${show(value)}`)
  }
}

function rangeText(min: number, max: number): string {
  const top = max >= Number.MAX_SAFE_INTEGER ? null : max
  const bottom = min <= Number.MIN_SAFE_INTEGER ? null : min
  if (bottom === null && top === null) return '(any)'
  return top === null ? `of at least ${bottom}` : `from ${bottom} to ${top}`
}

function show(value: unknown): string {
  return typeof value === 'string' || typeof value === 'object'
    ? (JSON.stringify(value) ?? 'undefined').slice(0, 80)
    : String(value)
}

/** `reason`: one text, or parts that name other fields. */
function fail(name: string, reason: string | readonly MessagePart[]): never {
  throw new InvalidRequestError([{ field: name }, ' ', ...(typeof reason === 'string' ? [reason] : reason), '.'], name)
}
