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
