import type { BackendProvider, OptionTable } from '@octavo/core'
import type { CalibrationOptions } from '../calibration/calibration-options.ts'
import type { QuantizationProgress } from './progress.ts'

export interface PipelineOptions {
  /** Texts that the model is run on for passes that ask what layers are given; without, passes that need none still run. */
  readonly calibration?: CalibrationOptions | null
  /** Whether passes are run on the embedding too; default: if a recipe selects it. */
  readonly embedding?: boolean
  /** Whether passes are run on the head too, where it has a weight of its own; default: if a recipe selects it. */
  readonly head?: boolean
  readonly seed?: number
  /** The branch, tag or commit of a hub repository. */
  readonly revision?: string
  readonly backend?: string
  /** Backends beside core's own. */
  readonly providers?: readonly BackendProvider[]
  readonly maxActivationMemory?: number | string
  readonly maxBatchTokens?: number
}

/** One row per option; checks, flags, their help and docs/quantization-options.md derive from it. */
export const pipelineOptionTable = {
  embedding: {
    group: 'pipeline',
    type: { kind: 'boolean' },
    default: null,
    otherwise: 'as the recipe says, else not',
    doc: 'Whether the embedding is quantized too (to the nearest: it is given token ids alone). A tied head is the same table.',
  },
  head: {
    group: 'pipeline',
    type: { kind: 'boolean' },
    default: null,
    otherwise: 'as the recipe says, else not',
    doc: 'Whether the head is quantized too, where it has a weight of its own.',
  },
  seed: {
    group: 'pipeline',
    type: { kind: 'integer', min: 0, max: Number.MAX_SAFE_INTEGER },
    default: 0,
    doc: 'Chooses the calibration texts, and what algorithms draw at random: the same seed gives the same bytes.',
  },
  revision: {
    group: 'pipeline',
    type: { kind: 'text' },
    default: 'main',
    doc: 'The branch, tag or commit of a hub repository.',
  },
  backend: {
    group: 'pipeline',
    type: { kind: 'text' },
    default: 'auto',
    doc: 'Whose kernels run the layers, as `octavo env` lists them.',
  },
  maxActivationMemory: {
    group: 'pipeline',
    type: { kind: 'memory' },
    default: '25%',
    doc: 'What the activations between two layers may take of memory; more goes to a file beside the target.',
  },
  maxBatchTokens: {
    group: 'pipeline',
    type: { kind: 'integer', min: 1, max: 1_048_576 },
    default: 2048,
    unit: 'tokens',
    doc: 'How many calibration tokens run at once.',
  },
} as const satisfies OptionTable

export interface SaveOptions {
  readonly format?: string
  readonly overwrite?: boolean
  readonly restart?: boolean
  readonly maxShardSize?: number | string
  readonly onProgress?: (progress: QuantizationProgress) => void
  readonly signal?: AbortSignal
}

/** One row per option, as above. */
export const saveOptionTable = {
  format: {
    group: 'save',
    type: { kind: 'text' },
    default: 'compressed-tensors',
    doc: 'How quantized weights are stored: see docs/quantization.md, Formats.',
  },
  overwrite: {
    group: 'save',
    type: { kind: 'boolean' },
    default: false,
    doc: 'Whether a folder that is there is replaced, once the new one is whole.',
  },
  restart: {
    group: 'save',
    type: { kind: 'boolean' },
    default: false,
    doc: 'Begin anew, although an interrupted run has left finished layers.',
  },
  maxShardSize: {
    group: 'save',
    type: { kind: 'memory' },
    default: '2GiB',
    doc: 'Weights of more than this are put into several files; one file is held in memory until it is written.',
  },
} as const satisfies OptionTable
