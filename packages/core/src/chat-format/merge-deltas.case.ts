import type { MessageDelta } from './message-delta.ts'

export interface ParsedMessage {
  readonly reasoning: string
  readonly content: string
  readonly toolCalls: readonly { readonly id: string; readonly name: string; readonly arguments: string }[]
}

/** A message from its pieces, as clients put them together. */
export function mergeDeltas(deltas: readonly MessageDelta[]): ParsedMessage {
  const calls: { id: string; name: string; arguments: string }[] = []
  for (const { index, id, name, arguments: args } of deltas.flatMap(({ toolCalls }) => toolCalls)) {
    const known = calls[index]
    if (known === undefined) {
      if (id === null || name === null || index !== calls.length) throw new Error('A call begins without id and name.')
      calls.push({ id, name, arguments: args })
    } else {
      if (id !== null || name !== null) throw new Error('A call has two ids or names.')
      known.arguments += args
    }
  }
  return {
    reasoning: deltas.map(({ reasoning }) => reasoning).join(''),
    content: deltas.map(({ content }) => content).join(''),
    toolCalls: calls,
  }
}
