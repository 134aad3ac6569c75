import { formatBytes, type TurnQueue } from '@octavo/core'
import type { InputItem, ResponseItem, ResponseRequest } from '@octavo/sdk/protocol'
import { HttpError } from '../../http-error.ts'
import { inputItemId, responseOfItem } from './response-ids.ts'
import type { StoredResponse } from './response-store.ts'
import { openReasoning } from './sealed-reasoning.ts'
import { sizeOf } from './size-of.ts'

/** What the model is given. */
export interface Conversation {
  readonly items: readonly ResponseItem[]
  /** How many of them, at the end, this request brings. */
  readonly numOwnItems: number
  /** About how many bytes all take. */
  readonly size: number
}

export interface ConversationOptions {
  readonly responseId: string
  /** A response of the same tenant. */
  readonly find: (id: string) => Promise<StoredResponse | null>
  readonly turns: TurnQueue
}

const maxItems = 4096
/** More text than any template's output may have. */
const maxSize = 32 * 1024 * 1024

/**
 * The conversation up to now, and what the request adds to it; items that it refers to are looked up.
 * @throws HttpError 404 for what is not there, 400 for what has not ended or is too long
 */
export async function openConversation(
  request: Pick<ResponseRequest, 'input' | 'previous_response_id'>,
  { responseId, find, turns }: ConversationOptions,
): Promise<Conversation> {
  const previous = await previousResponse(request.previous_response_id ?? null, find)
  const referred = await referredItems(request.input, find)
  const own = await turns.run(() => ownItems(request.input, { responseId, referred }))
  const before = previous === null ? [] : [...previous.items, ...previous.response.output]
  const numItems = before.length + own.length
  if (numItems > maxItems) {
    const message = `input: the conversation has ${numItems} items, this server takes ${maxItems}; begin a new one with what matters of it.`
    throw new HttpError(400, message, { param: 'input' })
  }
  const sizeBefore = previous === null ? 0 : previous.itemsSize + sizeOf(previous.response.output)
  const size = sizeBefore + (await turns.run(() => sizeOf(own)))
  if (size > maxSize) {
    const message = `input: the conversation has about ${formatBytes(size)}, this server takes ${formatBytes(maxSize)}; begin a new one with what matters of it.`
    throw new HttpError(400, message, { param: 'input' })
  }
  return { items: [...before, ...own], numOwnItems: own.length, size }
}

async function previousResponse(id: string | null, find: ConversationOptions['find']): Promise<StoredResponse | null> {
  if (id === null) return null
  const previous = await find(id)
  const param = 'previous_response_id'
  if (previous === null)
    throw new HttpError(404, `Previous response with id ${quote(id)} not found.`, {
      param,
      code: 'previous_response_not_found',
    })
  const { status } = previous.response
  if (status === 'queued' || status === 'in_progress')
    throw new HttpError(400, `${param}: this response is ${status}; wait until it has ended.`, { param })
  return previous
}

/** By the places of the references. */
async function referredItems(
  input: ResponseRequest['input'],
  find: ConversationOptions['find'],
): Promise<ReadonlyMap<number, ResponseItem>> {
  const items = new Map<number, ResponseItem>()
  const found = new Map<string, ReadonlyMap<string, ResponseItem>>()
  for (const [index, item] of typeof input === 'string' || input == null ? [] : input.entries()) {
    if (item.type !== 'item_reference') continue
    const responseId = responseOfItem(item.id)
    if (responseId !== null && !found.has(responseId)) found.set(responseId, itemsOf(await find(responseId)))
    const referred = responseId === null ? undefined : found.get(responseId)?.get(item.id)
    if (referred === undefined) {
      const message = `Item with id ${quote(item.id)} not found. Items are kept as long as their responses, and not with store: false.`
      throw new HttpError(404, message, { param: `input.${index}.id` })
    }
    items.set(index, referred)
  }
  return items
}

/** What a response was given, and what it made of it, by their names. */
function itemsOf(stored: StoredResponse | null): ReadonlyMap<string, ResponseItem> {
  if (stored === null) return new Map()
  const { response, items, numOwnItems } = stored
  const all = [...items.slice(items.length - numOwnItems), ...response.output]
  return new Map(all.map((item) => [item.id, item]))
}

interface OwnItems {
  readonly responseId: string
  readonly referred: ReadonlyMap<number, ResponseItem>
}

function ownItems(input: ResponseRequest['input'], { responseId, referred }: OwnItems): ResponseItem[] {
  if (input == null) return []
  if (typeof input === 'string') return [userMessage(input, inputItemId('message', responseId, 0))]
  return input.map((item, index) =>
    item.type === 'item_reference' ? referred.get(index)! : completeItem(item, { index, responseId }),
  )
}

function userMessage(text: string, id: string): ResponseItem {
  return { type: 'message', id, status: 'completed', role: 'user', content: [inputText(text)] }
}

type OwnItem = Exclude<InputItem, { readonly type: 'item_reference' }>

/** With all the keys that an item has; its status is that of what will not change any more. */
function completeItem(item: OwnItem, { index, responseId }: { index: number; responseId: string }): ResponseItem {
  const id = item.id ?? inputItemId(item.type, responseId, index)
  const status = item.status === 'incomplete' ? 'incomplete' : 'completed'
  switch (item.type) {
    case 'message':
      return { type: 'message', id, status, role: item.role, content: messageContent(item) }
    case 'function_call':
      return { type: 'function_call', id, status, call_id: item.call_id, name: item.name, arguments: item.arguments }
    case 'function_call_output': {
      const output = typeof item.output === 'string' ? item.output : textsOf(item.output).map(inputText)
      return { type: 'function_call_output', id, status, call_id: item.call_id, output }
    }
    case 'reasoning': {
      const sealed = item.encrypted_content
      const opened = sealed == null ? null : openReasoning(sealed, `input.${index}.encrypted_content`)
      const texts = opened === null ? (item.content ?? []).map(({ text }) => text) : [opened]
      return {
        type: 'reasoning',
        id,
        status,
        summary: (item.summary ?? []).map(({ text }) => ({ type: 'summary_text', text })),
        content: texts.map((text) => ({ type: 'reasoning_text', text })),
      }
    }
  }
}

type Content = Extract<OwnItem, { readonly type: 'message' }>['content']

function messageContent({ role, content }: Extract<OwnItem, { readonly type: 'message' }>) {
  return textsOf(content).map((text) => (role === 'assistant' ? outputText(text) : inputText(text)))
}

/** A refusal is text that the assistant wrote. */
function textsOf(content: Content): string[] {
  if (typeof content === 'string') return [content]
  return content.map((part) => {
    if (typeof part === 'string') return part
    return part.type === 'refusal' ? part.refusal : part.text
  })
}

function inputText(text: string) {
  return { type: 'input_text' as const, text }
}

function outputText(text: string) {
  return { type: 'output_text' as const, text, annotations: [], logprobs: [] }
}

const maxQuotedLength = 200

function quote(id: string): string {
  return `'${id.slice(0, maxQuotedLength)}'`
}
