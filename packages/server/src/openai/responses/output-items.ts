import type { MessageDelta, ToolCallDelta } from '@octavo/core'
import type { FunctionCallItem, OutputItem, OutputLogprob, ReasoningItem, ResponseEvent } from '@octavo/sdk/protocol'
import { outputItemId } from './response-ids.ts'
import { sealReasoning } from './sealed-reasoning.ts'

/** An event before it has its number. */
export type EventDraft = ResponseEvent extends infer Event
  ? Event extends unknown
    ? Omit<Event, 'sequence_number'>
    : never
  : never

export interface OutputItemsOptions {
  readonly responseId: string
  /** The reasoning is shown as a summary. */
  readonly hasSummary: boolean
  /** Reasoning has `encrypted_content`. */
  readonly isSealed: boolean
}

interface OpenItem {
  readonly index: number
  readonly item: OutputItem
  readonly pieces: string[]
  readonly logprobs: OutputLogprob[]
  /** Of a call, its place among the calls of the message. */
  readonly callIndex: number | null
}

/** Puts deltas of a message together to items; what happens to them are the events of a stream. One item is open at a time. */
export class OutputItems {
  readonly #options: OutputItemsOptions
  readonly #done: OutputItem[] = []
  #open: OpenItem | null = null
  /** White space that may be all that comes. */
  #blank = ''

  constructor(options: OutputItemsOptions) {
    this.#options = options
  }

  /** So far; the last one may be going on. */
  get items(): readonly OutputItem[] {
    return this.#open === null ? this.#done : [...this.#done, withText(this.#open, 'in_progress', this.#options)]
  }

  *push({ reasoning, content, toolCalls }: MessageDelta, logprobs: readonly OutputLogprob[]): Iterable<EventDraft> {
    if (reasoning !== '') yield* this.#pushReasoning(reasoning)
    if (content !== '') yield* this.#pushText(content, logprobs)
    for (const call of toolCalls) yield* this.#pushCall(call)
  }

  /** Closes what is open, which is 'incomplete' where the model was cut off in it. An answer has at least a message. */
  *finish(status: 'completed' | 'incomplete'): Iterable<EventDraft> {
    const isAnswered = this.items.some(({ type }) => type !== 'reasoning')
    if (!isAnswered && (status === 'completed' || this.items.length === 0)) {
      yield* this.#close()
      yield* this.#openItem('message')
      yield* this.#addText(this.#blank, [])
    }
    yield* this.#close(status)
  }

  /** As `finish`, where nobody is to be told. */
  cutOff(): void {
    if (this.#open === null) return
    this.#done.push(withText(this.#open, 'incomplete', this.#options))
    this.#open = null
  }

  *#pushReasoning(text: string): Iterable<EventDraft> {
    if (this.#open?.item.type !== 'reasoning') {
      yield* this.#close()
      yield* this.#openItem('reasoning')
    }
    const { index, item, pieces } = this.#open!
    pieces.push(text)
    const place = { item_id: item.id, output_index: index }
    yield this.#options.hasSummary
      ? { type: 'response.reasoning_summary_text.delta', ...place, summary_index: 0, delta: text }
      : { type: 'response.reasoning_text.delta', ...place, content_index: 0, delta: text }
  }

  /** White space that stands around calls is no message. */
  *#pushText(text: string, logprobs: readonly OutputLogprob[]): Iterable<EventDraft> {
    if (this.#open?.item.type !== 'message') {
      if (text.trim() === '') return void (this.#blank += text)
      yield* this.#close()
      yield* this.#openItem('message')
    }
    const blank = this.#blank
    this.#blank = ''
    yield* this.#addText(blank + text, logprobs)
  }

  *#addText(text: string, logprobs: readonly OutputLogprob[]): Iterable<EventDraft> {
    const { index, item, pieces, logprobs: all } = this.#open!
    if (text === '') return
    pieces.push(text)
    all.push(...logprobs)
    const place = { item_id: item.id, output_index: index, content_index: 0 }
    yield { type: 'response.output_text.delta', ...place, delta: text, logprobs: [...logprobs] }
  }

  *#pushCall(call: ToolCallDelta): Iterable<EventDraft> {
    if (this.#open?.callIndex !== call.index) {
      yield* this.#close()
      this.#blank = ''
      yield* this.#openItem('function_call', call)
    }
    if (call.arguments === '') return
    const { index, item, pieces } = this.#open!
    pieces.push(call.arguments)
    yield {
      type: 'response.function_call_arguments.delta',
      item_id: item.id,
      output_index: index,
      delta: call.arguments,
    }
  }

  *#openItem(type: OutputItem['type'], call?: ToolCallDelta): Iterable<EventDraft> {
    const index = this.#done.length
    const id = outputItemId(type, this.#options.responseId, index)
    const item = emptyItem(type, id, call)
    this.#open = { index, item, pieces: [], logprobs: [], callIndex: call?.index ?? null }
    yield { type: 'response.output_item.added', output_index: index, item }
    const place = { item_id: id, output_index: index }
    if (type === 'message')
      yield { type: 'response.content_part.added', ...place, content_index: 0, part: textPart('', []) }
    if (type !== 'reasoning') return
    yield this.#options.hasSummary
      ? { type: 'response.reasoning_summary_part.added', ...place, summary_index: 0, part: summaryPart('') }
      : { type: 'response.content_part.added', ...place, content_index: 0, part: reasoningPart('') }
  }

  *#close(status: 'completed' | 'incomplete' = 'completed'): Iterable<EventDraft> {
    const open = this.#open
    if (open === null) return
    const item = withText(open, status, this.#options)
    this.#open = null
    this.#done.push(item)
    yield* closingEvents(item, open.index)
    yield { type: 'response.output_item.done', output_index: open.index, item }
  }
}

function* closingEvents(item: OutputItem, index: number): Iterable<EventDraft> {
  const place = { item_id: item.id, output_index: index }
  if (item.type === 'function_call') {
    const { name, arguments: text } = item
    return void (yield { type: 'response.function_call_arguments.done', ...place, name, arguments: text })
  }
  if (item.type === 'reasoning') {
    const [summary] = item.summary
    if (summary !== undefined) {
      yield { type: 'response.reasoning_summary_text.done', ...place, summary_index: 0, text: summary.text }
      return void (yield { type: 'response.reasoning_summary_part.done', ...place, summary_index: 0, part: summary })
    }
  }
  const [part] = item.content
  if (part === undefined) return
  if (part.type === 'output_text') {
    const { text, logprobs } = part
    yield { type: 'response.output_text.done', ...place, content_index: 0, text, logprobs }
    yield { type: 'response.content_part.done', ...place, content_index: 0, part }
  } else if (part.type === 'reasoning_text') {
    yield { type: 'response.reasoning_text.done', ...place, content_index: 0, text: part.text }
    yield { type: 'response.content_part.done', ...place, content_index: 0, part }
  }
}

function emptyItem(type: OutputItem['type'], id: string, call?: ToolCallDelta): OutputItem {
  switch (type) {
    case 'message':
      return { type, id, status: 'in_progress', role: 'assistant', content: [] }
    case 'reasoning':
      return { type, id, status: 'in_progress', summary: [], content: [] }
    case 'function_call':
      return {
        type,
        id,
        status: 'in_progress',
        call_id: call?.id ?? id,
        name: call?.name ?? '',
        arguments: '',
      }
  }
}

function withText(
  { item, pieces, logprobs }: OpenItem,
  status: OutputItem['status'],
  { hasSummary, isSealed }: OutputItemsOptions,
): OutputItem {
  const text = pieces.join('')
  switch (item.type) {
    case 'message':
      return { ...item, status, content: [textPart(text, logprobs)] }
    case 'reasoning': {
      const shown: Partial<ReasoningItem> = hasSummary
        ? { summary: [summaryPart(text)] }
        : { content: [reasoningPart(text)] }
      return { ...item, status, ...shown, ...(isSealed && { encrypted_content: sealReasoning(text) }) }
    }
    case 'function_call':
      return { ...item, status, arguments: text } satisfies FunctionCallItem
  }
}

function textPart(text: string, logprobs: readonly OutputLogprob[]) {
  return { type: 'output_text' as const, text, annotations: [], logprobs: [...logprobs] }
}

function reasoningPart(text: string) {
  return { type: 'reasoning_text' as const, text }
}

function summaryPart(text: string) {
  return { type: 'summary_text' as const, text }
}
