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
}

const maxItems = 4096

/**
 * The conversation up to now, and what the request adds to it; items that it refers to are looked up.
 * @throws HttpError 404 for what is not there, 400 for what has not ended or is too long
 */
export async function openConversation(
  request: Pick<ResponseRequest, 'input' | 'previous_response_id'>,
  { responseId, find }: ConversationOptions,
): Promise<Conversation> {
  const previous = await previousResponse(request.previous_response_id ?? null, find)
  const own = await ownItems(request.input, { responseId, find })
  const before = previous === null ? [] : [...previous.items, ...previous.response.output]
  const numItems = before.length + own.length
  if (numItems > maxItems) {
    const message = `input: the conversation has ${numItems} items, this server takes ${maxItems}; begin a new one with what matters of it.`
    throw new HttpError(400, message, { param: 'input' })
  }
  return { items: [...before, ...own], numOwnItems: own.length, size: (previous?.size ?? 0) + sizeOf(own) }
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

async function ownItems(input: ResponseRequest['input'], options: ConversationOptions): Promise<ResponseItem[]> {
  const { responseId } = options
  if (input == null) return []
  if (typeof input === 'string') return [userMessage(input, inputItemId('message', responseId, 0))]
  const found = new Map<string, StoredResponse | null>()
  const items: ResponseItem[] = []
  for (const [index, item] of input.entries()) {
    if (item.type === 'item_reference') items.push(await referredItem(item.id, { index, found, ...options }))
    else items.push(completeItem(item, { index, responseId }))
  }
  return items
}

function userMessage(text: string, id: string): ResponseItem {
  return { type: 'message', id, status: 'completed', role: 'user', content: [{ type: 'input_text', text }] }
}

interface Reference extends ConversationOptions {
  readonly index: number
  /** What other references have found. */
  readonly found: Map<string, StoredResponse | null>
}

async function referredItem(id: string, { index, found, find }: Reference): Promise<ResponseItem> {
  const responseId = responseOfItem(id)
  let stored = responseId === null ? null : found.get(responseId)
  if (responseId !== null && stored === undefined) {
    stored = await find(responseId)
    found.set(responseId, stored)
  }
  const item = stored == null ? undefined : itemsOf(stored).find((one) => one.id === id)
  if (item !== undefined) return item
  const message = `Item with id ${quote(id)} not found. Items are kept as long as their responses, and not with store: false.`
  throw new HttpError(404, message, { param: `input.${index}.id` })
}

function itemsOf({ response, items, numOwnItems }: StoredResponse): ResponseItem[] {
  return [...response.output, ...items.slice(items.length - numOwnItems)]
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
