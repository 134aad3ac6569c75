import {
  availableMemory,
  type EngineModule,
  type EngineOptions,
  InvalidConfigError,
  type ResolvedOptions,
  resolveOptions,
} from '@octavo/core'
import type { DownloadProgress } from '@octavo/core/loading'
import { evaluateOptionTable } from './evaluate-option-table.ts'

type EvaluateTable = typeof evaluateOptionTable

export interface EvaluateOptions {
  /** Names, folders or `.gguf` files. */
  readonly models: readonly string[]
  readonly against?: string | undefined
  readonly data?: readonly string[] | undefined
  readonly text?: readonly string[] | undefined
  readonly windowTokens?: number | undefined
  readonly strideTokens?: number | undefined
  readonly maxTextTokens?: number | undefined
  readonly maxItems?: number | undefined
  readonly maxAnswerTokens?: number | undefined
  readonly layerErrors?: boolean | undefined
  readonly layerTokens?: number | undefined
  readonly speed?: boolean | undefined
  readonly speedRounds?: number | undefined
  readonly prefillTokens?: number | undefined
  readonly seed?: number | undefined
  readonly cacheMemory?: number | string | undefined
  readonly backend?: EngineOptions['backend'] | undefined
  /** Backends and architectures from outside core. */
  readonly modules?: readonly EngineModule[]
  /** Of what is being done how much is done. */
  readonly onProgress?: (activity: string, done: number, total: number) => void
  readonly onDownloadProgress?: (progress: DownloadProgress) => void
}

export interface ResolvedEvaluateOptions extends Omit<
  ResolvedOptions<EvaluateTable>,
  'data' | 'text' | 'strideTokens' | 'cacheMemory'
> {
  readonly models: readonly string[]
  readonly data: readonly string[]
  readonly text: readonly string[]
  readonly strideTokens: number
  readonly cacheBytes: number
  readonly backend: NonNullable<EngineOptions['backend']>
  readonly modules: readonly EngineModule[]
  readonly onProgress?: EvaluateOptions['onProgress']
  readonly onDownloadProgress?: (progress: DownloadProgress) => void
}

/** @throws InvalidConfigError */
export function resolveEvaluateOptions(options: EvaluateOptions): ResolvedEvaluateOptions {
  const { models, backend = 'auto', modules = [], onProgress, onDownloadProgress, ...given } = options
  const unknown = Object.keys(given).find((name) => !(name in evaluateOptionTable))
  if (unknown !== undefined)
    throw new InvalidConfigError(unknown, `is no option; there are ${Object.keys(evaluateOptionTable).join(', ')}`)
  const resolved = resolveOptions(evaluateOptionTable, given)
  const { data, text, against, windowTokens, strideTokens, cacheMemory } = resolved
  if (models.length === 0) throw new InvalidConfigError('models', 'name at least one model')
  if (against === null && models.length > 1)
    throw new InvalidConfigError('against', `say which original these ${models.length} models were made from`)
  if (data === null && text === null)
    throw new InvalidConfigError('data', 'there is nothing to evaluate on: give a file of tasks, or a text')
  if (strideTokens !== null && strideTokens > windowTokens)
    throw new InvalidConfigError('strideTokens', `is ${strideTokens}, but a window has ${windowTokens} tokens`)
  return {
    ...resolved,
    models,
    data: data ?? [],
    text: text ?? [],
    strideTokens: strideTokens ?? windowTokens,
    cacheBytes: 'bytes' in cacheMemory ? cacheMemory.bytes : availableMemory() * cacheMemory.fractionOfFree,
    backend,
    modules,
    ...(onProgress && { onProgress }),
    ...(onDownloadProgress && { onDownloadProgress }),
  }
}
