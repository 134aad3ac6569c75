import type { RawJson } from './raw-json.ts'

/** A call that the assistant made; arguments as JSON text, which keeps numbers and the order of keys, or as the object. */
export interface ToolCall {
  readonly id?: string
  readonly type?: 'function'
  readonly function: { readonly name: string; readonly arguments: string | Readonly<Record<string, unknown>> }
}

/** Content in parts, of which text is the only kind so far. */
export interface TextPart {
  readonly type: 'text' | 'input_text' | 'output_text'
  readonly text: string
}

/** One turn, with OpenAI's field names, for templates know them by those. What else it has reaches the template too. */
export interface ChatMessage {
  /** Most templates know system, user, assistant and tool; `developer` is system to those that do not know it. */
  readonly role: string
  readonly content: string | readonly (string | TextPart)[] | null
  readonly name?: string
  readonly reasoning?: string
  /** As `RawJson`, like any other field, with numbers and keys as they were written. */
  readonly tool_calls?: readonly ToolCall[] | RawJson
  readonly tool_call_id?: string
  readonly [field: string]: unknown
}

/** A function signature as OpenAI writes it; passed to the template unchanged. */
export interface ToolDefinition {
  readonly type: 'function'
  readonly function: {
    readonly name: string
    readonly description?: string | null
    readonly parameters?: Readonly<Record<string, unknown>> | null
    readonly strict?: boolean | null
  }
}
