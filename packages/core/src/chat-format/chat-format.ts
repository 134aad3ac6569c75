/** How a model writes what is more than plain text; data, derived from its chat template (`deriveChatFormat`). */
export interface ChatFormat {
  readonly reasoning: ReasoningSyntax | null
  readonly toolCalls: ToolCallSyntax | null
  /** Why `toolCalls` is null, for those who ask for calls: a sentence. */
  readonly whyNoToolCalls: string | null
  /** What begins the turn of an answer, without white space around it; null where the template shows none. */
  readonly turn: string | null
  /** Texts around an answer, which is no part of it (`<|START_RESPONSE|>`). */
  readonly content: { readonly begin: string; readonly end: string } | null
}

/** Thinking before an answer: `begin`, `afterBegin`, the thought, `beforeEnd`, `end`, `afterEnd`. */
export interface ReasoningSyntax {
  /** Without white space around it; empty where a model thinks from the start without saying so. */
  readonly begin: string
  readonly end: string
  /** White space, as the template writes it. */
  readonly afterBegin: string
  readonly beforeEnd: string
  /** What stands between the end and the answer: white space, or what else the template writes there. */
  readonly afterEnd: string
}

/** All calls of a message: `begin`, calls with `separator` between them, `end`. Texts are as the template writes them. */
export interface ToolCallSyntax {
  readonly begin: string
  readonly end: string
  /** null where the template takes back one call a message only. */
  readonly separator: string | null
  readonly call: CallSyntax
  /** What ids must look like for the template to take them back. */
  readonly idStyle: 'any' | 'nineAlphanumerics'
}

/**
 * One call.
 * - `json`: an object with the name and the arguments among its members (Hermes, Llama, Mistral up to v3, Granite);
 * - `named`: the name, then the arguments as a JSON object (Functionary, Mistral v11, DeepSeek, Kimi);
 * - `tagged`: the name, then each argument between tags (Qwen3-Coder, GLM, MiniMax, Seed-OSS);
 * - `pythonic`: a list of Python's calls (Llama 4, LFM2);
 * - `harmony`: channels with a recipient (gpt-oss).
 */
export type CallSyntax = JsonCallSyntax | NamedCallSyntax | TaggedCallSyntax | PythonicCallSyntax | HarmonyCallSyntax

/** `index`: a number that counts the calls. */
export type CallSlot = 'name' | 'id' | 'index' | 'arguments'

/** The text of a call in parts: what is always the same, and what is not. */
export type CallFrame = readonly (CallSlot | { readonly text: string })[]

export interface JsonCallSyntax {
  readonly type: 'json'
  /** Before and after the object. */
  readonly begin: string
  readonly end: string
  /** The object. */
  readonly frame: CallFrame
  /** Where in the object things are: keys from outside to inside. */
  readonly namePath: readonly string[]
  readonly argumentsPath: readonly string[]
  readonly idPath: readonly string[] | null
  /** Further members that every call has. */
  readonly constantKeys: readonly string[]
  /** The arguments are not an object but its JSON text as a string. */
  readonly hasTextArguments: boolean
}

export interface NamedCallSyntax {
  readonly type: 'named'
  readonly frame: CallFrame
  /** The id says which tool is called (Kimi's `functions.NAME:0`): the frame has no name of its own. */
  readonly hasNameInId: boolean
}

export interface TaggedCallSyntax {
  readonly type: 'tagged'
  readonly frame: CallFrame
  readonly parameter: {
    readonly begin: string
    /** Between the key and the value. */
    readonly keyEnd: string
    /** The same before values that are no strings, where it says what they are (DeepSeek V3.2); null = `keyEnd`. */
    readonly valueKeyEnd: string | null
    readonly end: string
    readonly separator: string
  }
}

export interface PythonicCallSyntax {
  readonly type: 'pythonic'
}

export interface HarmonyCallSyntax {
  readonly type: 'harmony'
}
