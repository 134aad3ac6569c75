import type { DType } from '../tensor/dtype.ts'
import { allKvDTypes, type KvDType } from '../tensor/kv-storage.ts'
import type { OptionRow } from './option-table.ts'
import { allPoolingTypes, type PoolingType } from './pooling-config.ts'

/** What a user may set; everything but `model` has a default. The table below says which, and what is allowed. */
export interface EngineOptions {
  /** A folder, a `.gguf` file, a Hugging Face repository such as `Qwen/Qwen3-0.6B`, or the embedded `octavo-tiny`. */
  readonly model: string
  /** Branch, tag or commit of the Hugging Face repository. */
  readonly revision?: string
  /** How weights are kept in memory, `auto`: as stored; by the command also what the backend tensorflow computes in. */
  readonly dtype?: DType | 'auto'
  /** Tokens of prompt and output together. */
  readonly maxModelLen?: number
  /** Template in Jinja, for the command also a file of it, that replaces the model's chat template. */
  readonly chatTemplate?: string
  /** Sampling defaults, `auto`: from the checkpoint's generation_config.json; `octavo`: the library's own. */
  readonly generationConfig?: 'auto' | 'octavo'
  /**
   * Of which of a prompt's hidden states an embedding is made, `auto`: as the checkpoint says, else the last of a decoder and
   * the first of an encoder.
   */
  readonly poolingType?: PoolingType | 'auto'
  /** A backend as `octavo env` lists them, `auto`: the first of those that works. */
  readonly backend?: string
  /**
   * Run each size of batch once before serving, so that no request waits for what a backend prepares at first use;
   * `auto`: on tensorflow with a GPU.
   */
  readonly warmup?: boolean | 'auto'
  /** What one step may take before the engine counts as stuck and its health is bad; ranks are then started anew. */
  readonly stepTimeoutMs?: number
  /** The KV cache: bytes, a size such as `2GiB`, or a share of the memory that is free after loading. */
  readonly kvCacheMemory?: number | string
  /** How keys and values are kept, `auto`: as computed; bfloat16 and int8 hold about twice and four times the tokens. */
  readonly kvCacheDtype?: KvDType | 'auto'
  /** Tokens per KV block. */
  readonly blockSize?: number
  /** Share the KV blocks of equal beginnings. */
  readonly enablePrefixCaching?: boolean
  /** Sequences computed at once. */
  readonly maxNumSeqs?: number
  /** Tokens computed in one step, which a pipeline splits over the plans in flight; an encoder takes a whole context if that is more. */
  readonly maxNumBatchedTokens?: number
  /** Compute long prompts in pieces, beside other sequences; off, one step must hold a whole context. */
  readonly enableChunkedPrefill?: boolean
  /** Prompt tokens of one sequence per step, so that long prompts leave room for others; 0: no limit of its own. */
  readonly longPrefillTokenThreshold?: number
  /** Who runs first, `fcfs`: who came first; `priority`: by the requests' `priority`. */
  readonly schedulingPolicy?: 'fcfs' | 'priority'
  /** The name, or several, that requests use. */
  readonly servedModelName?: string | readonly string[]
  /** Cap on `logprobs` of a request; -1: none. */
  readonly maxLogprobs?: number
  /** Requests without a seed get theirs from this one. */
  readonly seed?: number
}

/** Options that are set together; each is a part of the resolved configuration. */
export type EngineOptionGroup = 'model' | 'device' | 'cache' | 'scheduler' | 'serving'

const text = { kind: 'text' } as const
const boolean = { kind: 'boolean' } as const

function integer(min: number, max: number): { readonly kind: 'integer'; readonly min: number; readonly max: number } {
  return { kind: 'integer', min, max }
}

function oneOf<const Choices extends readonly (string | boolean)[]>(
  ...choices: Choices
): { readonly kind: 'choice'; readonly choices: Choices } {
  return { kind: 'choice', choices }
}

/** One row per option; checks, flags, their help and docs/engine-options.md derive from it. */
export const engineOptionTable = {
  model: {
    group: 'model',
    type: text,
    default: null,
    doc: 'A folder, a `.gguf` file, a Hugging Face repository such as `Qwen/Qwen3-0.6B`, or the embedded `octavo-tiny`.',
  },
  revision: {
    group: 'model',
    type: text,
    default: 'main',
    doc: 'Branch, tag or commit of the Hugging Face repository.',
  },
  dtype: {
    group: 'model',
    type: oneOf('auto', 'float32', 'float16', 'bfloat16'),
    default: 'auto',
    doc: 'How weights are kept in memory, `auto`: as stored; by the command also what the backend tensorflow computes in.',
  },
  maxModelLen: {
    group: 'model',
    type: integer(2, 16_777_216),
    unit: 'tokens',
    default: null,
    otherwise: "the model's own context, less where memory does not hold it",
    doc: 'Tokens of prompt and output together.',
  },
  chatTemplate: {
    group: 'model',
    type: { kind: 'template' },
    default: null,
    otherwise: "the model's own",
    doc: "Template in Jinja, for the command also a file of it, that replaces the model's chat template.",
  },
  generationConfig: {
    group: 'model',
    type: oneOf('auto', 'octavo'),
    default: 'auto',
    doc: "Sampling defaults, `auto`: from the checkpoint's generation_config.json; `octavo`: the library's own.",
  },
  poolingType: {
    group: 'model',
    type: oneOf('auto', ...allPoolingTypes),
    default: 'auto',
    doc: "Of which of a prompt's hidden states an embedding is made, `auto`: as the checkpoint says, else the last of a decoder and the first of an encoder.",
  },
  backend: {
    group: 'device',
    type: text,
    default: 'auto',
    env: 'OCTAVO_BACKEND',
    doc: 'A backend as `octavo env` lists them, `auto`: the first of those that works.',
  },
  warmup: {
    group: 'device',
    type: oneOf('auto', true, false),
    default: 'auto',
    doc: 'Run each size of batch once before serving, so that no request waits for what a backend prepares at first use; `auto`: on tensorflow with a GPU.',
  },
  stepTimeoutMs: {
    group: 'device',
    type: integer(1, 86_400_000),
    unit: 'milliseconds',
    default: 300_000,
    doc: 'What one step may take before the engine counts as stuck and its health is bad; ranks are then started anew.',
  },
  kvCacheMemory: {
    group: 'cache',
    type: { kind: 'memory' },
    default: '40%',
    doc: 'The KV cache: bytes, a size such as `2GiB`, or a share of the memory that is free after loading.',
  },
  kvCacheDtype: {
    group: 'cache',
    type: oneOf('auto', ...allKvDTypes),
    default: 'auto',
    doc: 'How keys and values are kept, `auto`: as computed; bfloat16 and int8 hold about twice and four times the tokens.',
  },
  blockSize: { group: 'cache', type: integer(1, 1024), unit: 'tokens', default: 16, doc: 'Tokens per KV block.' },
  enablePrefixCaching: {
    group: 'cache',
    type: boolean,
    default: true,
    doc: 'Share the KV blocks of equal beginnings.',
  },
  maxNumSeqs: {
    group: 'scheduler',
    type: integer(1, 65_536),
    unit: 'sequences',
    default: 64,
    doc: 'Sequences computed at once.',
  },
  maxNumBatchedTokens: {
    group: 'scheduler',
    type: integer(1, 1_048_576),
    unit: 'tokens',
    default: 512,
    doc: 'Tokens computed in one step, which a pipeline splits over the plans in flight; an encoder takes a whole context if that is more.',
  },
  enableChunkedPrefill: {
    group: 'scheduler',
    type: boolean,
    default: true,
    doc: 'Compute long prompts in pieces, beside other sequences; off, one step must hold a whole context.',
  },
  longPrefillTokenThreshold: {
    group: 'scheduler',
    type: integer(0, 1_048_576),
    unit: 'tokens',
    default: 0,
    doc: 'Prompt tokens of one sequence per step, so that long prompts leave room for others; 0: no limit of its own.',
  },
  schedulingPolicy: {
    group: 'scheduler',
    type: oneOf('fcfs', 'priority'),
    default: 'fcfs',
    doc: "Who runs first, `fcfs`: who came first; `priority`: by the requests' `priority`.",
  },
  servedModelName: {
    group: 'serving',
    type: { kind: 'names' },
    default: null,
    otherwise: 'the model as given',
    doc: 'The name, or several, that requests use.',
  },
  maxLogprobs: {
    group: 'serving',
    type: integer(-1, 1_000_000),
    unit: 'entries',
    default: 20,
    doc: 'Cap on `logprobs` of a request; -1: none.',
  },
  seed: {
    group: 'serving',
    type: integer(0, Number.MAX_SAFE_INTEGER),
    default: null,
    otherwise: 'another at each start',
    doc: 'Requests without a seed get theirs from this one.',
  },
} as const satisfies Readonly<Record<keyof EngineOptions, OptionRow & { readonly group: EngineOptionGroup }>>
