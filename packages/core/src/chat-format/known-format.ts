import type { ChatFormat } from './chat-format.ts'

/** A format that cannot be derived, known by what only its templates say. */
export interface KnownFormat {
  readonly name: string
  readonly matches: (source: string) => boolean
  readonly format: Omit<ChatFormat, 'whyNoToolCalls'>
}
