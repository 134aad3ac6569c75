import type { CallFrame, JsonCallSyntax } from './chat-format.ts'

/** Where in a text a call is, from its first slot or bracket to its last, and how it is written. */
export interface LocatedCall {
  readonly from: number
  readonly to: number
  readonly syntax: LocatedJson | LocatedNamed | LocatedTagged
  /** Tagged: the text between two parameters. */
  readonly betweenParameters: string
}

export interface LocatedNamed {
  readonly type: 'named'
  readonly frame: CallFrame
  readonly hasNameInId: boolean
}

export interface LocatedTagged {
  readonly type: 'tagged'
  /** Up to the name, or what else comes before the parameters. */
  readonly frame: CallFrame
  /** `begin`: all between the name and the first key. */
  readonly parameter: { readonly begin: string; readonly keyEnd: string }
}

export type LocatedJson = Omit<JsonCallSyntax, 'begin' | 'end'>
