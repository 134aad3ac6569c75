import type { ToolChoice } from '../chat-format/tool-choice.ts'
import type { ModelTask, PoolingInfo, PoolingParamsInput } from '../pooling-params.ts'
import type { SamplingParams, SamplingParamsInput } from '../sampling-params.ts'
import type { SchedulerStats } from '../scheduler/scheduler-stats.ts'
import type { RequestOutput } from '../sequence/outputs.ts'
import type { KvDType } from '../tensor/kv-storage.ts'
import type { ChatMessage, ToolDefinition } from '../tokenizer/chat-message.ts'
import type { RequestMetrics } from './request-metrics.ts'
import type { RequestStats } from './request-record.ts'

/** What the server, the SDK's in-process mode and a data-parallel router share. */
export interface EngineClient {
  readonly models: readonly ServedModel[]
  /**
   * Bad input rejects with a typed error (`InvalidRequestError`, `ContextLengthError`, `ModelNotFoundError`, …)
   * at the first `next()`. Ending the iteration early, or `signal`, aborts the request and frees its blocks within one step.
   */
  generate(request: GenerateRequest, signal?: AbortSignal): AsyncIterable<RequestOutput>
  /**
   * What the model makes of one prompt without generating; of many, ask for all at once: they share batches. Rejects as
   * `generate` does, and with `InvalidRequestError` where the model does not do the task. Without it, no model does any.
   */
  pool?(request: PoolingRequest, signal?: AbortSignal): Promise<PoolingOutput>
  /** Token ids of one of the models (default the first) → text, special tokens kept. Without it, the echo of a prompt that came as token ids is refused. */
  detokenize?(tokenIds: readonly number[], model?: string): string
  /** As `detokenize`, for many: others are served in between. */
  detokenizeInTurns?(tokenIds: readonly number[], model?: string): Promise<string>
  /** Token ids of a prompt as the model would get it, however many they are: nothing runs. */
  tokenize?(request: TokenizeRequest, signal?: AbortSignal): Promise<TokenizedPrompt>
  /** What a request comes to, with all that `generate` refuses refused: nothing runs. */
  render?(request: GenerateRequest, signal?: AbortSignal): Promise<RenderedRequest>
  /** What the checkpoint's tokenizer_config.json says, without paths, and its chat template. */
  tokenizerConfig?(model?: string): Promise<Readonly<Record<string, unknown>>>
  /** Nothing that was computed so far will be found again; who holds blocks keeps them. */
  resetPrefixCache?(): Promise<void>
  /**
   * Resolves when it is asleep. Requests meanwhile are refused with `EngineSleepingError` (`abort`) or wait (`wait`);
   * health is good. Called while asleep, the deeper of the two levels holds.
   */
  sleep?(options: SleepOptions): Promise<void>
  /** Resolves when it serves again; if that fails it is still asleep. */
  wakeUp?(): Promise<void>
  readonly isSleeping?: boolean
  metrics(): EngineMetrics
  /** Of each engine behind this one. Without it, nobody can watch it. */
  telemetry?(): readonly EngineTelemetry[]
  /** Rejects with `EngineDeadError` when the engine cannot serve. */
  checkHealth(): Promise<void>
  /** With `drain`, running requests may finish until the timeout; without, they end with finishReason 'abort'. */
  shutdown(drain?: { timeoutMs: number }): Promise<void>
}

/** One name under which requests reach the model. */
export interface ServedModel {
  readonly id: string
  /** Path or repo id that it was loaded from. */
  readonly root: string
  readonly created: number
  readonly maxModelLen: number
  readonly hasChatTemplate: boolean
  /** What is sampled with where a request does not say. Default: `defaultSamplingParams`. */
  readonly samplingDefaults?: Pick<SamplingParams, 'temperature' | 'topP'>
  /** What it thinks can be told apart from its answers, and limited (`thinkingTokenBudget`), under its own template. Default false. */
  readonly marksThinking?: boolean
  readonly tasks: readonly ModelTask[]
  /** `null` where it only generates. */
  readonly pooling: PoolingInfo | null
}

/** What to continue: a text, token ids as they are, or a conversation that the chat template renders. */
export type PromptInput =
  | { readonly type: 'text'; readonly text: string; readonly addSpecialTokens?: boolean }
  | { readonly type: 'tokens'; readonly tokenIds: readonly number[] }
  | {
      readonly type: 'chat'
      readonly messages: readonly ChatMessage[]
      /** As JSON text numbers and keys keep the form and order they were written in. */
      readonly tools?: readonly ToolDefinition[] | string | null
      /** Default 'auto' where there are tools. What the model must call is held by a grammar. */
      readonly toolChoice?: ToolChoice | null
      /** Default true; false: the first call alone is reported, and no other is made where calls are held by a grammar. */
      readonly parallelToolCalls?: boolean
      /** Fill `CompletionOutput.message`. Default false. */
      readonly parseOutput?: boolean
      /** A template, or the name of one of the model's. */
      readonly chatTemplate?: string | null
      readonly chatTemplateKwargs?: Readonly<Record<string, unknown>>
      /** Default true. */
      readonly addGenerationPrompt?: boolean
      /** Default false; excludes addGenerationPrompt. */
      readonly continueFinalMessage?: boolean
      /** Default false: templates write their own special tokens. */
      readonly addSpecialTokens?: boolean
    }

/**
 * 'delta' for streaming, 'final' yields once, 'cumulative' repeats everything so far. 'parts': once all samples have
 * ended, an output that has nothing yet, then the deltas of a sample after those of the one before, each made when it is
 * read, so that however large the whole is a reader need not hold it.
 */
export type OutputKind = 'delta' | 'cumulative' | 'final' | 'parts'

/** One prompt with all that decides its output; it yields `params.n` samples. */
export interface GenerateRequest {
  readonly requestId: string
  /** Which served model; default the first. */
  readonly model?: string
  readonly prompt: PromptInput
  /** vLLM's fields in camelCase; defaults come from the model's generation_config.json. `maxTokens: null` = up to the context. */
  readonly params: SamplingParamsInput
  /** Default 'cumulative'. */
  readonly outputKind?: OutputKind
  /** Lower runs earlier, with the priority policy only. Default 0. */
  readonly priority?: number
  /** Separates prefix-cache entries of tenants. */
  readonly cacheSalt?: string | null
  /** Keep only the last (or first) this many prompt tokens; -1 means the model's context. */
  readonly truncatePromptTokens?: number | null
  readonly truncationSide?: 'left' | 'right'
  /** Refuse a `maxTokens` for which the context has no room after the prompt, rather than end there. Default false. */
  readonly maxTokensMustFit?: boolean
  /** Called once the request has ended in whatever way, if it had been taken. */
  readonly onEnd?: (stats: RequestStats) => void
}

/** One prompt of which vectors are made. */
export interface PoolingRequest {
  readonly requestId: string
  /** Which served model; default the first. */
  readonly model?: string
  /** Tools and the generation prompt are for what is to be answered; `addGenerationPrompt` is false by default here. */
  readonly prompt: PromptInput
  /** A second text, for cross-encoders (`PoolingInfo.acceptsPairs`): the model reads both as one prompt, which is then a text. */
  readonly pair?: string | null
  readonly params: PoolingParamsInput
  /** Lower runs earlier, with the priority policy only. Default 0. */
  readonly priority?: number
  /** Separates prefix-cache entries of tenants. */
  readonly cacheSalt?: string | null
  /** Keep only this many prompt tokens, special ones included; -1 means the model's context. */
  readonly truncatePromptTokens?: number | null
  /** Where tokens are dropped. Default 'right': the beginning of the prompt is kept. */
  readonly truncationSide?: 'left' | 'right'
  /** As `GenerateRequest`'s. */
  readonly onEnd?: (stats: RequestStats) => void
}

/** What a model made of one prompt. */
export interface PoolingOutput {
  readonly requestId: string
  readonly promptTokenIds: readonly number[]
  /** Prompt tokens whose KV came from the prefix cache. */
  readonly numCachedTokens: number
  readonly data: Float32Array
  /** Of `data`: `[n]`, or `[numTokens, n]` for the tasks of tokens. */
  readonly shape: readonly number[]
}

export interface TokenizeRequest {
  /** Which served model; default the first. */
  readonly model?: string
  readonly prompt: PromptInput
  /** Also say the tokens as they stand in the vocabulary. Default false. */
  readonly returnTokens?: boolean
}

export interface TokenizedPrompt {
  /** `null` where the prompt came as token ids. */
  readonly prompt: string | null
  readonly tokenIds: readonly number[]
  /** Of `tokenIds`, where they were asked for. */
  readonly tokens: readonly string[] | null
}

/** A request as the engine would run it. */
export interface RenderedRequest {
  readonly requestId: string
  /** `null` where the prompt came as token ids. */
  readonly prompt: string | null
  readonly tokenIds: readonly number[]
  /** Complete but for a seed that the engine would draw: `maxTokens` is what the context has room for where the request does not say. */
  readonly params: SamplingParams & { readonly maxTokens: number }
}

export interface SleepOptions {
  /** 0: no steps are taken; 1: the KV cache's memory is given back, too; 2: so is the weights', and the engine starts anew on waking. */
  readonly level: 0 | 1 | 2
  /** What becomes of requests that run: they end with finishReason 'abort', or are waited for. */
  readonly mode: 'abort' | 'wait'
}

/** Counters run from the engine's start, on where its core is started again. */
export type EngineMetrics = SchedulerStats

/** What is known of one engine for those who watch it. */
export interface EngineTelemetry {
  /** Under which its first model is served. */
  readonly modelName: string
  readonly metrics: EngineMetrics
  readonly requests: RequestMetrics
  /** `null`: it is awake. */
  readonly sleepLevel: SleepOptions['level'] | null
  readonly cache: CacheInfo
}

export interface CacheInfo {
  /** Tokens per block. */
  readonly blockSize: number
  readonly dtype: KvDType
  readonly enablePrefixCaching: boolean
}
