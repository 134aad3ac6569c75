import { joinMessages, type MessageDelta, type RequestOutput, type TurnQueue } from '@octavo/core'
import type { OutputLogprob, ResponseEvent, ResponseObject, ResponseRequest, ResponseUsage } from '@octavo/sdk/protocol'
import { HttpError } from '../../http-error.ts'
import { toWireFinishReason } from '../finish-reason.ts'
import { chatLogprobs } from '../logprobs.ts'
import { UsageCounter } from '../usage.ts'
import { errorEvent } from './dialect.ts'
import { type EventDraft, OutputItems } from './output-items.ts'
import { TokenKinds } from './token-kinds.ts'

export interface ResponseWriterOptions {
  readonly request: ResponseRequest
  readonly frame: ResponseObject
  readonly turns: TurnQueue
}

type Lifecycle = Extract<ResponseEvent, { readonly response: ResponseObject }>['type']

/** One response: the engine's deltas in, events out, and at any time the response as it is. */
export class ResponseWriter {
  readonly #request: ResponseRequest
  readonly #turns: TurnQueue
  readonly #items: OutputItems
  readonly #tokens = new TokenKinds()
  readonly #usage = new UsageCounter()
  #frame: ResponseObject
  #numEvents = 0
  #hasEnded = false

  constructor({ request, frame, turns }: ResponseWriterOptions) {
    this.#request = request
    this.#turns = turns
    this.#frame = frame
    this.#items = new OutputItems({
      responseId: frame.id,
      hasSummary: request.reasoning?.summary != null,
      isSealed: request.include?.includes('reasoning.encrypted_content') === true,
    })
  }

  get response(): ResponseObject {
    return { ...this.#frame, output: [...this.#items.items] }
  }

  get hasBegun(): boolean {
    return this.#numEvents > 0
  }

  /** Nothing comes of it any more. */
  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** There is one. With 'queued', `start` follows when the engine has begun. */
  begin(status: 'queued' | 'in_progress'): ResponseEvent[] {
    this.#frame = { ...this.#frame, status }
    return [this.#lifecycle('response.created'), this.#lifecycle(`response.${status}`)]
  }

  start(): ResponseEvent[] {
    this.#frame = { ...this.#frame, status: 'in_progress' }
    return [this.#lifecycle('response.in_progress')]
  }

  /** @throws HttpError where the engine has failed */
  async push(output: RequestOutput): Promise<ResponseEvent[]> {
    this.#usage.add(0, output)
    const events: ResponseEvent[] = []
    for (const completion of output.outputs) {
      const message = joinMessages([completion.message ?? plainMessage(completion.text)])
      const logprobs = this.#tokens.add(completion, message)
      for (const draft of this.#items.push(message, await this.#logprobs(logprobs))) events.push(this.#number(draft))
      const reason = toWireFinishReason(completion.finishReason)
      if (reason === 'abort') throw new HttpError(503, 'The server ended before the response did.')
      if (reason === 'length')
        this.#frame = { ...this.#frame, status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } }
    }
    return events
  }

  /** The model has ended. The last event, `final`, is the caller's to send. */
  finish(): ResponseEvent[] {
    const isCutOff = this.#frame.incomplete_details !== null
    const events = [...this.#items.finish(isCutOff ? 'incomplete' : 'completed')].map((draft) => this.#number(draft))
    const end = isCutOff ? {} : { status: 'completed' as const, completed_at: Math.floor(Date.now() / 1000) }
    this.#end(end)
    return events
  }

  final(): ResponseEvent {
    return this.#lifecycle(this.#frame.status === 'incomplete' ? 'response.incomplete' : 'response.completed')
  }

  /** What is open stays as it is: nobody says that it is done. */
  fail(error: HttpError): ResponseEvent[] {
    this.#items.cutOff()
    this.#end({ status: 'failed', error: { code: codeOf(error), message: error.message }, incomplete_details: null })
    const told: ResponseEvent = errorEvent(error, this.#numEvents++)
    return [told, this.#lifecycle('response.failed')]
  }

  /** Somebody wanted it to end. */
  cancel(): void {
    this.#items.cutOff()
    this.#end({ status: 'cancelled', incomplete_details: null })
  }

  /** It is not kept after all. */
  setUnstored(): void {
    this.#frame = { ...this.#frame, store: false }
  }

  #end(fields: Partial<ResponseObject>): void {
    this.#frame = { ...this.#frame, ...fields, usage: this.#usageSoFar() }
    this.#hasEnded = true
  }

  #usageSoFar(): ResponseUsage {
    const { prompt_tokens, completion_tokens, total_tokens, prompt_tokens_details } = this.#usage.usage()
    return {
      input_tokens: prompt_tokens,
      input_tokens_details: { cached_tokens: prompt_tokens_details?.cached_tokens ?? 0 },
      output_tokens: completion_tokens,
      output_tokens_details: { reasoning_tokens: this.#tokens.numReasoningTokens },
      total_tokens,
    }
  }

  async #logprobs(tokens: Parameters<typeof chatLogprobs>[0]): Promise<OutputLogprob[]> {
    if (tokens.length === 0) return []
    const naming = { asTokenIds: this.#request.return_tokens_as_token_ids === true }
    const { content } = await chatLogprobs(tokens, naming, this.#turns)
    return (content ?? []) as OutputLogprob[]
  }

  #lifecycle(type: Lifecycle): ResponseEvent {
    return this.#number({ type, response: this.response })
  }

  #number({ type, ...fields }: EventDraft): ResponseEvent {
    return { type, sequence_number: this.#numEvents++, ...fields } as ResponseEvent
  }
}

/** By OpenAI's names, of which clients know no others. */
function codeOf({ status }: HttpError): string {
  if (status >= 500) return 'server_error'
  return status === 429 ? 'rate_limit_exceeded' : 'invalid_prompt'
}

/** An engine that parses nothing has text. */
function plainMessage(content: string): MessageDelta {
  return { reasoning: '', content, toolCalls: [] }
}
