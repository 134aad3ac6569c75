/** A call that the assistant made; arguments as JSON text or as the object. */
export interface ToolCall {
  readonly id?: string
  readonly type?: 'function'
  readonly function: { readonly name: string; readonly arguments: string | Readonly<Record<string, unknown>> }
}

/** Content in parts, of which text is the only kind so far. */
export interface TextPart {
  readonly type: 'text'
  readonly text: string
}

/** One turn, with OpenAI's field names, for templates know them by those. */
export interface ChatMessage {
  readonly role: 'system' | 'developer' | 'user' | 'assistant' | 'tool'
  readonly content: string | readonly TextPart[] | null
  readonly name?: string
  readonly reasoning?: string
  readonly tool_calls?: readonly ToolCall[]
  readonly tool_call_id?: string
}

/** A function signature as OpenAI writes it; passed to the template unchanged. */
export interface ToolDefinition {
  readonly type: 'function'
  readonly function: {
    readonly name: string
    readonly description?: string
    readonly parameters?: Readonly<Record<string, unknown>>
    readonly strict?: boolean | null
  }
}
