/** A piece of a tool call. The pieces of one index, in their order, are the call. */
export interface ToolCallDelta {
  /** Which call of the message. */
  readonly index: number
  /** Set once, together with the name. */
  readonly id: string | null
  /** Whole, and once. */
  readonly name: string | null
  /** JSON text; the pieces concatenate to the arguments of the whole message. */
  readonly arguments: string
}

/** The parsed form of generated text: what is new of it, or all so far. */
export interface MessageDelta {
  /** What the model thought before it answered. */
  readonly reasoning: string
  readonly content: string
  readonly toolCalls: readonly ToolCallDelta[]
}

/** The pieces of a message as one; of each call too. */
export function joinMessages(deltas: readonly MessageDelta[]): MessageDelta {
  return {
    reasoning: deltas.map(({ reasoning }) => reasoning).join(''),
    content: deltas.map(({ content }) => content).join(''),
    toolCalls: joinToolCalls(deltas.flatMap(({ toolCalls }) => toolCalls)),
  }
}

function joinToolCalls(deltas: readonly ToolCallDelta[]): ToolCallDelta[] {
  const calls = new Map<number, { index: number; id: string | null; name: string | null; pieces: string[] }>()
  for (const { index, id, name, arguments: piece } of deltas) {
    const call = calls.get(index) ?? { index, id: null, name: null, pieces: [] }
    calls.set(index, call)
    call.id ??= id
    call.name ??= name
    call.pieces.push(piece)
  }
  return [...calls.values()].map(({ index, id, name, pieces }) => ({ index, id, name, arguments: pieces.join('') }))
}
