import {
  availableMemory,
  type EngineModule,
  type EngineOptions,
  InvalidConfigError,
  type OptionTable,
  type ResolvedOptions,
  resolveOptions,
} from '@octavo/core'
import type { DownloadProgress } from '@octavo/core/loading'

/** What an evaluation may be told; the command's flags derive from it. */
export const evaluateOptionTable = {
  against: {
    group: 'evaluation',
    type: { kind: 'text' },
    default: null,
    otherwise: 'none: one model alone',
    doc: 'The original that the models were made from.',
  },
  data: {
    group: 'evaluation',
    type: { kind: 'names' },
    default: null,
    otherwise: 'none',
    doc: 'JSONL file of tasks, a line `{ messages | prompt, tools?, answer, metric? }` each; may be repeated, files of one name are one set.',
  },
  text: {
    group: 'evaluation',
    type: { kind: 'names' },
    default: null,
    otherwise: 'none',
    doc: 'Text file for perplexity and divergence; may be repeated.',
  },
  windowTokens: {
    group: 'evaluation',
    type: { kind: 'integer', min: 2, max: 1_048_576 },
    unit: 'tokens',
    default: 512,
    doc: 'Context in which texts are cut; at most the model has.',
  },
  strideTokens: {
    group: 'evaluation',
    type: { kind: 'integer', min: 1, max: 1_048_576 },
    unit: 'tokens',
    default: null,
    otherwise: 'a whole window',
    doc: 'How much later the next window begins; less than a window scores tokens behind more context, and takes longer.',
  },
  maxTextTokens: {
    group: 'evaluation',
    type: { kind: 'integer', min: 2, max: 1_000_000_000 },
    unit: 'tokens',
    default: 32_768,
    doc: 'Of each text, from its start.',
  },
  maxItems: {
    group: 'evaluation',
    type: { kind: 'integer', min: 1, max: 1_000_000 },
    unit: 'entries',
    default: null,
    otherwise: 'all',
    doc: 'Of each set of tasks, from its start.',
  },
  maxAnswerTokens: {
    group: 'evaluation',
    type: { kind: 'integer', min: 1, max: 65_536 },
    unit: 'tokens',
    default: 128,
    doc: 'Of an answer to a task.',
  },
  layerErrors: {
    group: 'evaluation',
    type: { kind: 'boolean' },
    default: true,
    doc: 'Measure the error of each layer.',
  },
  layerTokens: {
    group: 'evaluation',
    type: { kind: 'integer', min: 1, max: 1_048_576 },
    unit: 'tokens',
    default: 512,
    doc: 'For the errors of layers.',
  },
  speed: { group: 'evaluation', type: { kind: 'boolean' }, default: true, doc: 'Measure rates and memory.' },
  speedRounds: {
    group: 'evaluation',
    type: { kind: 'integer', min: 1, max: 100 },
    default: 3,
    doc: 'In which models take turns; the report has medians.',
  },
  prefillTokens: {
    group: 'evaluation',
    type: { kind: 'integer', min: 1, max: 1_048_576 },
    unit: 'tokens',
    default: 512,
    doc: 'Of the prompt whose prefill is measured.',
  },
  seed: {
    group: 'evaluation',
    type: { kind: 'integer', min: 0, max: 4_294_967_295 },
    default: 1,
    doc: 'Of the resampling behind the intervals.',
  },
  cacheMemory: {
    group: 'evaluation',
    type: { kind: 'memory' },
    default: '1GiB',
    doc: "For the original's hidden states; what is beyond it goes to a temporary file.",
  },
} as const satisfies OptionTable

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
