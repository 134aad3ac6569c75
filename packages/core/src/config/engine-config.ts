import { InvalidConfigError } from '../errors.ts'
import type { DType } from '../tensor/dtype.ts'
import { allKvDTypes, type KvDType } from '../tensor/kv-storage.ts'

/** What a user may set; everything but `model` has a default. */
export interface EngineOptions {
  /** A folder, a `.gguf` file, a Hugging Face repo id, or the embedded `octavo-tiny`. */
  readonly model: string
  /** The names it is served under; default: `model` as given. */
  readonly servedModelName?: string | readonly string[]
  /** Branch, tag or commit of the hub repository. Default `main`. */
  readonly revision?: string
  /** `auto`, or a backend's name as `octavo env` lists them. */
  readonly backend?: string
  /**
   * How weights are kept in memory: `auto` as stored. Arithmetic is float32 in any case, but for the backend `tensorflow`
   * where `tensorflowBackendWith` says otherwise, as the command's `--dtype` does.
   */
  readonly dtype?: DType | 'auto'
  /** Tokens of prompt and output together; default: the model's own context, less where memory does not allow it. */
  readonly maxModelLen?: number
  /** Sequences computed at once. Default 64. */
  readonly maxNumSeqs?: number
  /** Tokens computed in one step. Default 512. */
  readonly maxNumBatchedTokens?: number
  /** Tokens per KV block. Default 16. */
  readonly blockSize?: number
  /** Memory of the KV cache: bytes, `'2GiB'`, or a share of the memory that is free after loading, `'40%'` (the default). */
  readonly kvCacheMemory?: number | string
  /**
   * How keys and values are kept: `auto`, the default, as the backend computes them, which is `float32` unless 16-bit
   * arithmetic was chosen; `bfloat16` and `int8` hold about
   * twice and four times the tokens in the same memory.
   */
  readonly kvCacheDtype?: KvDType | 'auto'
  /**
   * Runs each size of batch once before serving, so that no request waits for what a backend prepares at first use, and
   * fills batches up to these sizes. `auto`, the default: where that pays, which is on the backend `tensorflow` with a
   * GPU. Backends with nothing to prepare ignore it.
   */
  readonly warmup?: boolean | 'auto'
  /** Sequences share the KV blocks of equal beginnings. Default true. */
  readonly enablePrefixCaching?: boolean
  /** A prompt may be computed in pieces, beside other sequences. Off, the whole context must fit in one step. Default true. */
  readonly enableChunkedPrefill?: boolean
  /** Prompt tokens that one sequence may compute per step, so that long prompts leave room for others; 0 (the default) = no limit of its own. */
  readonly longPrefillTokenThreshold?: number
  /** First come, first served (the default), or by the requests' `priority`. */
  readonly schedulingPolicy?: 'fcfs' | 'priority'
  /** Where requests name no seed, theirs are drawn from this one; default: different at each start. */
  readonly seed?: number
  /** Cap on `logprobs` of a request; -1 = none. Default 20. */
  readonly maxLogprobs?: number
  /** Milliseconds that one step may take before the engine counts as stuck and its health is bad. Default 300,000. */
  readonly stepTimeoutMs?: number
  /** Jinja text that replaces the checkpoint's chat template. */
  readonly chatTemplate?: string
  /** `auto` (the default): sampling defaults from the checkpoint's generation_config.json; `octavo`: the library's own. */
  readonly generationConfig?: 'auto' | 'octavo'
}

/** Complete, validated, frozen; plain data that crosses to the engine thread. */
export interface EngineConfig {
  readonly model: string
  readonly servedModelNames: readonly string[]
  readonly revision: string
  readonly backend: string
  readonly dtype: DType | 'auto'
  readonly maxModelLen: number | null
  readonly maxNumSeqs: number
  readonly maxNumBatchedTokens: number
  readonly blockSize: number
  readonly kvCacheMemory: MemoryBudget
  readonly kvCacheDtype: KvDType | 'auto'
  readonly warmup: boolean | 'auto'
  readonly enablePrefixCaching: boolean
  readonly enableChunkedPrefill: boolean
  readonly longPrefillTokenThreshold: number
  readonly schedulingPolicy: 'fcfs' | 'priority'
  readonly seed: number | null
  readonly maxLogprobs: number
  readonly stepTimeoutMs: number
  readonly chatTemplate: string | null
  readonly generationConfig: 'auto' | 'octavo'
}

export type MemoryBudget = { readonly bytes: number } | { readonly fractionOfFree: number }

const defaults = {
  revision: 'main',
  backend: 'auto',
  dtype: 'auto',
  maxNumSeqs: 64,
  maxNumBatchedTokens: 512,
  blockSize: 16,
  kvCacheMemory: '40%',
  kvCacheDtype: 'auto',
  warmup: 'auto',
  enablePrefixCaching: true,
  enableChunkedPrefill: true,
  longPrefillTokenThreshold: 0,
  schedulingPolicy: 'fcfs',
  maxLogprobs: 20,
  stepTimeoutMs: 300_000,
  generationConfig: 'auto',
} as const

const optionNames = new Set<string>([
  ...Object.keys(defaults),
  'model',
  'servedModelName',
  'maxModelLen',
  'seed',
  'chatTemplate',
])

/** @throws InvalidConfigError naming the option, its value and what is allowed; unknown options are errors. */
export function resolveEngineConfig(options: EngineOptions): EngineConfig {
  const given = Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as unknown as EngineOptions
  for (const name of Object.keys(given)) {
    if (!optionNames.has(name))
      throw new InvalidConfigError(name, `is not an option; the known ones are ${[...optionNames].sort().join(', ')}`)
  }
  const merged = { ...defaults, ...given }
  checkValues(merged)
  checkStepBudget(merged)
  const { servedModelName, ...rest } = merged
  return Object.freeze({
    ...rest,
    servedModelNames: resolveNames(servedModelName, merged.model),
    kvCacheMemory: parseMemory(merged.kvCacheMemory),
    kvCacheDtype: merged.kvCacheDtype,
    maxModelLen: given.maxModelLen ?? null,
    seed: given.seed ?? null,
    chatTemplate: given.chatTemplate ?? null,
  })
}

type MergedOptions = EngineOptions & Required<Pick<EngineOptions, keyof typeof defaults>>

function checkValues(options: MergedOptions): void {
  if (typeof options.model !== 'string' || options.model.trim() === '')
    throw new InvalidConfigError('model', 'must be a folder, a .gguf file or a Hugging Face repo id')
  checkText('revision', options.revision)
  checkText('backend', options.backend)
  if (options.chatTemplate !== undefined) checkText('chatTemplate', options.chatTemplate)
  checkBoolean('enablePrefixCaching', options.enablePrefixCaching)
  checkBoolean('enableChunkedPrefill', options.enableChunkedPrefill)
  checkOneOf('dtype', options.dtype, ['auto', 'float32', 'float16', 'bfloat16'])
  checkOneOf('kvCacheDtype', options.kvCacheDtype, ['auto', ...allKvDTypes])
  checkOneOf('warmup', options.warmup, ['auto', true, false])
  checkOneOf('schedulingPolicy', options.schedulingPolicy, ['fcfs', 'priority'])
  checkOneOf('generationConfig', options.generationConfig, ['auto', 'octavo'])
  checkInteger('maxNumSeqs', options.maxNumSeqs, [1, 65_536])
  checkInteger('maxNumBatchedTokens', options.maxNumBatchedTokens, [1, 1_048_576])
  checkInteger('blockSize', options.blockSize, [1, 1024])
  checkInteger('longPrefillTokenThreshold', options.longPrefillTokenThreshold, [0, 1_048_576])
  checkInteger('maxLogprobs', options.maxLogprobs, [-1, 1_000_000])
  checkInteger('stepTimeoutMs', options.stepTimeoutMs, [1, 86_400_000])
  if (options.maxModelLen !== undefined) checkInteger('maxModelLen', options.maxModelLen, [2, 16_777_216])
  if (options.seed !== undefined) checkInteger('seed', options.seed, [0, Number.MAX_SAFE_INTEGER])
}

/** The scheduler checks the same again, but after the weights are loaded. */
function checkStepBudget(options: MergedOptions): void {
  if (options.maxNumBatchedTokens < options.maxNumSeqs) {
    throw new InvalidConfigError(
      'maxNumBatchedTokens',
      `is ${options.maxNumBatchedTokens}, less than maxNumSeqs (${options.maxNumSeqs}); every running sequence needs one token per step, so raise it or lower maxNumSeqs`,
    )
  }
  if (
    !options.enableChunkedPrefill &&
    options.maxModelLen !== undefined &&
    options.maxNumBatchedTokens < options.maxModelLen
  ) {
    throw new InvalidConfigError(
      'maxNumBatchedTokens',
      `is ${options.maxNumBatchedTokens}; without chunked prefill it must be at least maxModelLen (${options.maxModelLen})`,
    )
  }
}

function resolveNames(names: EngineOptions['servedModelName'], model: string): string[] {
  const list = names === undefined ? [model] : [names].flat()
  if (list.length === 0 || list.some((name) => typeof name !== 'string' || name === '')) {
    throw new InvalidConfigError('servedModelName', 'must be one or more non-empty names')
  }
  return list
}

const units: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  K: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 1024,
  MIB: 1024 ** 2,
  GIB: 1024 ** 3,
}

function parseMemory(value: number | string): MemoryBudget {
  const wrong = (): never => {
    throw new InvalidConfigError(
      'kvCacheMemory',
      `must be a number of bytes, a size such as '2GiB', or a share of free memory such as '40%' (up to 95%), got ${JSON.stringify(value)}`,
    )
  }
  if (typeof value === 'number') return Number.isSafeInteger(value) && value > 0 ? { bytes: value } : wrong()
  if (typeof value !== 'string') return wrong()
  const percent = /^(\d+(?:\.\d+)?)\s*%$/.exec(value)
  if (percent !== null) {
    const fraction = Number(percent[1]) / 100
    return fraction > 0 && fraction <= 0.95 ? { fractionOfFree: fraction } : wrong()
  }
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(value) ?? wrong()
  const factor = units[unit.toUpperCase()] ?? wrong()
  const bytes = Math.floor(Number(number) * factor)
  return bytes > 0 ? { bytes } : wrong()
}

function checkText(option: string, value: unknown): void {
  if (typeof value !== 'string' || value === '')
    throw new InvalidConfigError(option, `must be a text of at least one character, got ${JSON.stringify(value)}`)
}

function checkBoolean(option: string, value: unknown): void {
  if (typeof value !== 'boolean')
    throw new InvalidConfigError(option, `must be true or false, got ${JSON.stringify(value)}`)
}

function checkOneOf(option: string, value: unknown, allowed: readonly unknown[]): void {
  if (!allowed.includes(value))
    throw new InvalidConfigError(option, `must be one of ${allowed.join(', ')}, got ${JSON.stringify(value)}`)
}

function checkInteger(option: string, value: unknown, [min, max]: readonly [number, number]): void {
  if (!Number.isSafeInteger(value) || (value as number) < min || (value as number) > max) {
    throw new InvalidConfigError(option, `must be an integer from ${min} to ${max}, got ${JSON.stringify(value)}`)
  }
}
