/** Every error a caller can act on: a stable `code`, the value, the limit and the remedy in the message. */

const marker = Symbol.for('octavo.error')

/** Stable: programs may switch over it. */
export type OctavoErrorCode =
  | 'invalid_request'
  | 'invalid_config'
  | 'context_length_exceeded'
  | 'model_not_found'
  | 'unsupported_model'
  | 'checkpoint_error'
  | 'tokenizer_error'
  | 'chat_template_error'
  | 'insufficient_memory'
  | 'backend_unavailable'
  | 'hub_error'
  | 'engine_dead'
  | 'engine_overloaded'
  | 'engine_sleeping'
  | 'rank_failed'
  | 'invalid_logits'
  | 'no_gradient'
  | 'communication_error'
  | 'quantization_error'

/** Text of a message, or a field of the API under core's name: each surface spells it its own way (`maxTokens`, `max_tokens`). */
export type MessagePart = string | { readonly field: string }

/** The base of all errors that a caller can act on. */
export class OctavoError extends Error {
  readonly code: OctavoErrorCode
  /** The message in parts, where it names fields of the API. */
  declare readonly parts?: readonly MessagePart[]

  constructor(code: OctavoErrorCode, message: string | readonly MessagePart[], options?: ErrorOptions) {
    super(typeof message === 'string' ? message : joinParts(message, (field) => field), options)
    this.name = new.target.name
    this.code = code
    // Not enumerable: whoever prints the error has it in the message already.
    if (typeof message !== 'string') Object.defineProperty(this, 'parts', { value: message, configurable: true })
  }

  get [marker](): true {
    return true
  }

  /** Holds across duplicate copies of the package and realms, unlike `instanceof`. */
  static isInstance(error: unknown): error is OctavoError {
    return typeof error === 'object' && error !== null && marker in error
  }
}

/** The error's message with the fields that it names as `nameOf` spells them. */
export function messageWith(error: OctavoError, nameOf: (field: string) => string): string {
  return error.parts === undefined ? error.message : joinParts(error.parts, nameOf)
}

function joinParts(parts: readonly MessagePart[], nameOf: (field: string) => string): string {
  return parts.map((part) => (typeof part === 'string' ? part : nameOf(part.field))).join('')
}

/** The caller's request is wrong; `param` names the offending field as core does: `maxTokens`. */
export class InvalidRequestError extends OctavoError {
  readonly param: string | null

  constructor(message: string | readonly MessagePart[], param: string | null = null, options?: ErrorOptions) {
    super('invalid_request', message, options)
    this.param = param
  }
}

interface Excess {
  readonly isLowerBound?: boolean
  readonly maxTokens?: number | null
  readonly hasOutput?: boolean
}

/** The prompt alone, or prompt and requested tokens, exceed what the model can attend to. */
export class ContextLengthError extends OctavoError {
  readonly numPromptTokens: number
  readonly maxModelLen: number

  /**
   * `isLowerBound`: the prompt has at least this many tokens; it was not tokenized to its end. `maxTokens`: the prompt
   * alone would fit, with so many output tokens it does not. `hasOutput`: room for a token must be left.
   */
  constructor(
    numPromptTokens: number,
    maxModelLen: number,
    { isLowerBound = false, maxTokens = null, hasOutput = true }: Excess = {},
  ) {
    const start = `The prompt has ${isLowerBound ? 'at least ' : ''}${numPromptTokens} tokens`
    super(
      'context_length_exceeded',
      maxTokens === null
        ? [
            `${start}, but this model's context is ${maxModelLen} tokens${hasOutput ? ' and at least one must be left for the output' : ''}. Shorten the prompt to at most ${hasOutput ? maxModelLen - 1 : maxModelLen} tokens, or pass `,
            { field: 'truncatePromptTokens' },
            '.',
          ]
        : [
            `${start} and `,
            { field: 'maxTokens' },
            ` is ${maxTokens}, but this model's context is ${maxModelLen} tokens. Pass at most ${maxModelLen - numPromptTokens}, leave it out to go on to the end of the context, or shorten the prompt.`,
          ],
    )
    this.numPromptTokens = numPromptTokens
    this.maxModelLen = maxModelLen
  }
}

/** An option is wrong; `option` names it. */
export class InvalidConfigError extends OctavoError {
  readonly option: string

  constructor(option: string, message: string, options?: ErrorOptions) {
    super('invalid_config', `${option}: ${message}`, options)
    this.option = option
  }
}

/** No file, folder, embedded model, hub repository or served model has this name. */
export class ModelNotFoundError extends OctavoError {
  readonly model: string

  constructor(model: string, message: string, options?: ErrorOptions) {
    super('model_not_found', message, options)
    this.model = model
  }
}

/** The checkpoint is well-formed, but needs something that Octavo does not have. */
export class UnsupportedModelError extends OctavoError {
  constructor(message: string, options?: ErrorOptions) {
    super('unsupported_model', message, options)
  }
}

export interface CheckpointErrorOptions extends ErrorOptions {
  /** The tensor at fault, where it is one. */
  readonly tensor?: string
}

/** A checkpoint file is malformed; names the file and, where one is at fault, the tensor. */
export class CheckpointError extends OctavoError {
  readonly file: string
  readonly tensor: string | null

  constructor(file: string, reason: string, { tensor, ...options }: CheckpointErrorOptions = {}) {
    super(
      'checkpoint_error',
      tensor === undefined ? `${file}: ${reason}` : `${file}: tensor "${tensor}": ${reason}`,
      options,
    )
    this.file = file
    this.tensor = tensor ?? null
  }
}

/** A tokenizer file is malformed, or a text is beyond what it can encode. */
export class TokenizerError extends OctavoError {
  constructor(message: string, options?: ErrorOptions) {
    super('tokenizer_error', message, options)
  }
}

/** The template refused the messages (`raise_exception`) or is itself broken. */
export class ChatTemplateError extends OctavoError {
  constructor(message: string | readonly MessagePart[], options?: ErrorOptions) {
    super('chat_template_error', message, options)
  }
}

/** Weights or KV cache do not fit; the message names both sizes and what to change. */
export class InsufficientMemoryError extends OctavoError {
  readonly requiredBytes: number
  readonly availableBytes: number

  constructor(message: string, requiredBytes: number, availableBytes: number) {
    super('insufficient_memory', message)
    this.requiredBytes = requiredBytes
    this.availableBytes = availableBytes
  }
}

/** No backend, or not the one asked for, can run here. */
export class BackendUnavailableError extends OctavoError {
  constructor(message: string, options?: ErrorOptions) {
    super('backend_unavailable', message, options)
  }
}

/** The hub cannot be reached, refuses, or gives what is not a model. */
export class HubError extends OctavoError {
  constructor(message: string, options?: ErrorOptions) {
    super('hub_error', message, options)
  }
}

export interface EngineDeadErrorOptions extends ErrorOptions {
  /** After how long it is started again. */
  readonly retryAfterMs?: number
}

/** The engine thread failed; the requests it held are lost and say so. */
export class EngineDeadError extends OctavoError {
  /** When the same request may succeed; `null` = never with this engine. */
  readonly retryAfterMs: number | null

  constructor(message: string, { retryAfterMs, ...options }: EngineDeadErrorOptions = {}) {
    super('engine_dead', message, options)
    this.retryAfterMs = retryAfterMs ?? null
  }
}

/** One of the ranks that run a model together ended or did not go on, and with it all of them; the engine's end has it as its cause. */
export class RankFailedError extends OctavoError {
  /** `null` where nobody can tell which. */
  readonly rank: number | null

  constructor(rank: number | null, message: string, options?: ErrorOptions) {
    super('rank_failed', message, options)
    this.rank = rank
  }
}

/** An engine with a bounded queue turns a request away: the same one may succeed later. */
export class EngineOverloadedError extends OctavoError {
  constructor(message: string) {
    super('engine_overloaded', message)
  }
}

/** An operator has put the engine to sleep: the same request may succeed once it is awake. */
export class EngineSleepingError extends OctavoError {
  constructor(message = 'The engine sleeps; send the request again when it has been woken up (POST /wake_up).') {
    super('engine_sleeping', message)
  }
}

/** The model computed what is no distribution, or no vector (NaN), for one request, which ends; the engine goes on. */
export class InvalidLogitsError extends OctavoError {
  constructor(message: string) {
    super('invalid_logits', message)
  }
}

/** An op without a gradient ran under a gradient tape. */
export class NoGradientError extends OctavoError {
  constructor(message: string) {
    super('no_gradient', message)
  }
}

export interface QuantizationErrorOptions extends ErrorOptions {
  /** The decoder layer at fault, by its name: `model.layers.3`. */
  readonly layer?: string
  /** The linear layer or tensor at fault, in full. */
  readonly module?: string
}

/** Weights can't be quantized, converted or saved as asked; names layer and module, where one is at fault. */
export class QuantizationError extends OctavoError {
  readonly layer: string | null
  readonly module: string | null

  constructor(reason: string, { layer, module, ...options }: QuantizationErrorOptions = {}) {
    // A module's name begins with its layer's.
    const place = module ?? layer
    super('quantization_error', place === undefined ? reason : `${place}: ${reason}`, options)
    this.layer = layer ?? null
    this.module = module ?? null
  }
}
