import { type OutputItem, type ResponseEvent, responseEventSchema, type ResponseObject } from '@octavo/sdk/protocol'

/** The events of a streamed response, after a look at how they are framed. @throws Error where that is not as Open Responses wants it */
export function readResponseEvents(body: string): ResponseEvent[] {
  const frames = body.split('\n\n').filter((frame) => frame !== '')
  if (frames.pop() !== 'data: [DONE]') throw new Error('the stream has no end')
  return frames.map((frame) => {
    const [name, data, ...more] = frame.split('\n')
    if (more.length > 0 || name?.startsWith('event: ') !== true || data?.startsWith('data: ') !== true)
      throw new Error(`not a named event: ${frame}`)
    const event = responseEventSchema.parse(JSON.parse(data.slice('data: '.length)))
    if (event.type !== name.slice('event: '.length)) throw new Error(`${event.type} came as ${name}`)
    return event
  })
}

interface OpenItem {
  readonly item: OutputItem
  text: string
  isPartOpen: boolean
}

/**
 * Follows the state machines of a response and its items, as a client does.
 * @throws Error where an event comes that may not come then, or says something else than those before it
 * @returns what the last event has, or, where there is none, `null`
 */
export function followResponse(events: readonly ResponseEvent[]): ResponseObject | null {
  const items = new Map<number, OpenItem>()
  const done: OutputItem[] = []
  let status = ''
  let final: ResponseObject | null = null
  for (const [i, event] of events.entries()) {
    check(event.sequence_number === i, `event ${i} has the number ${event.sequence_number}`)
    check(final === null, `${event.type} came after the end`)
    check((event.type === 'response.created') === (i === 0) || event.type === 'error', `${event.type} is event ${i}`)
    if (isLifecycle(event)) {
      const { response } = event
      check(
        event.type === 'response.created' || event.type === `response.${response.status}`,
        `${event.type}: ${response.status}`,
      )
      if (['response.completed', 'response.incomplete', 'response.failed'].includes(event.type)) final = response
      else check(response.output.length === 0 && response.usage === null, 'a response has output before its end')
      status = response.status
    } else if (event.type !== 'error') {
      check(status === 'in_progress', `${event.type} while ${status}`)
      followItem(event, items, done)
    }
  }
  if (final !== null && final.status !== 'failed') {
    check(items.size === 0, 'an item is open at the end')
    check(JSON.stringify(final.output) === JSON.stringify(done), 'the output is not what the events have said')
    const cutOff = done.findIndex((item) => item.status === 'incomplete')
    check(cutOff < 0 || cutOff === done.length - 1, 'an incomplete item is not the last')
    check(cutOff >= 0 === (final.status === 'incomplete') || done.length === 0, 'items and response end differently')
  }
  return final
}

type Lifecycle = Extract<ResponseEvent, { readonly response: ResponseObject }>
type ItemEvent = Exclude<ResponseEvent, Lifecycle | { readonly type: 'error' }>

function isLifecycle(event: ResponseEvent): event is Lifecycle {
  return 'response' in event
}

function followItem(event: ItemEvent, items: Map<number, OpenItem>, done: OutputItem[]): void {
  const { output_index: index } = event
  if (event.type === 'response.output_item.added') {
    check(index === done.length + items.size, `item ${index} is not the next`)
    check(event.item.status === 'in_progress', 'an item begins as something else than in_progress')
    return void items.set(index, { item: event.item, text: '', isPartOpen: event.item.type === 'function_call' })
  }
  const open = items.get(index)
  if (open === undefined) throw new Error(`${event.type} of item ${index}, which is not open`)
  if (event.type === 'response.output_item.done') {
    check(event.item.id === open.item.id && event.item.type === open.item.type, 'an item has changed its name')
    check(textOf(event.item) === open.text, 'an item is not what its deltas were')
    items.delete(index)
    return void done.push(event.item)
  }
  check(event.item_id === open.item.id, `${event.type} names another item`)
  const [, part, step] = /^response\.(.*)\.(added|delta|done)$/.exec(event.type)!
  if (step === 'delta') {
    check(open.isPartOpen, `${event.type} without a part`)
    open.text += 'delta' in event ? event.delta : ''
  } else if (part === 'content_part' || part === 'reasoning_summary_part') {
    check(open.isPartOpen !== (step === 'added'), `${event.type} at the wrong time`)
    open.isPartOpen = step === 'added'
  } else if ('text' in event || 'arguments' in event) {
    check(String('text' in event ? event.text : event.arguments) === open.text, `${event.type} has another text`)
  }
}

function textOf(item: OutputItem): string {
  if (item.type === 'function_call') return item.arguments
  const parts = item.type === 'reasoning' ? [...item.content, ...item.summary] : item.content
  return parts.map(({ text }) => text).join('')
}

function check(holds: boolean, complaint: string): void {
  if (!holds) throw new Error(complaint)
}
