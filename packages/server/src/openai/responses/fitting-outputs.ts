import { type GenerateRequest, OctavoError, type RequestOutput } from '@octavo/core'
import type { ResponseItem } from '@octavo/sdk/protocol'
import type { CallerEngine } from '../../server-context.ts'

export interface FittingOutputsOptions {
  readonly engine: CallerEngine
  readonly items: readonly ResponseItem[]
  readonly toRequest: (items: readonly ResponseItem[]) => Promise<GenerateRequest>
  /** Leave out the oldest turns of what does not fit. */
  readonly mayTruncate: boolean
  readonly signal: AbortSignal
}

/** How much of the context a conversation is cut down to, so that there is room for an answer. */
const wantedShare = 0.75
/** More than a token has on average: of a text that is far too long the engine counts the tokens of a beginning only. */
const maxCharsPerToken = 16

/** The engine's outputs for a conversation. */
export async function* fittingOutputs(options: FittingOutputsOptions): AsyncGenerator<RequestOutput, void, undefined> {
  const { engine, toRequest, mayTruncate, signal } = options
  for (let items: readonly ResponseItem[] | null = options.items; items !== null;) {
    const outputs = engine.generate(await toRequest(items), signal)[Symbol.asyncIterator]()
    try {
      let next = await outputs.next()
      for (items = null; next.done !== true; next = await outputs.next()) yield next.value
    } catch (error) {
      // What does not fit is refused before there is any output.
      const fewer: readonly ResponseItem[] | null = items !== null && mayTruncate ? withoutOldest(items, error) : null
      if (fewer === null) throw error
      items = fewer
    } finally {
      await outputs.return?.()
    }
  }
}

/** What a conversation is without the turns that are too much; system messages before the first turn stay. */
export function withoutOldest(items: readonly ResponseItem[], error: unknown): readonly ResponseItem[] | null {
  const excess = excessOf(error)
  if (excess === null) return null
  const begin = items.findIndex((item) => !isSystem(item))
  const sizes = items.map(lengthOf)
  let size = sizes.slice(begin).reduce((total, one) => total + one, 0)
  const { maxModelLen, numPromptTokens } = excess
  const wanted = Math.min(
    size - 1,
    (size * wantedShare * maxModelLen) / numPromptTokens,
    maxModelLen * maxCharsPerToken,
  )
  let cut: number | null = null
  for (let i = begin; i < items.length && size > wanted; i++) {
    size -= sizes[i]!
    // A turn begins with what a user says: an answer, or a tool's, without its question would be of no use.
    const next = items[i + 1]
    if (next?.type === 'message' && next.role === 'user') cut = i + 1
  }
  while (cut !== null && cut < items.length && !isUser(items[cut]!)) cut++
  return cut === null ? null : [...items.slice(0, begin), ...items.slice(cut)]
}

/** Of what the template is given, about. */
function lengthOf(item: ResponseItem): number {
  switch (item.type) {
    case 'message':
      return lengthOfParts(item.content)
    case 'reasoning':
      return lengthOfParts(item.content.length > 0 ? item.content : item.summary)
    case 'function_call':
      return markupLength + item.name.length + item.arguments.length
    case 'function_call_output':
      return typeof item.output === 'string' ? markupLength + item.output.length : lengthOfParts(item.output)
  }
}

/** Of what templates put around a message. */
const markupLength = 32

function lengthOfParts(parts: readonly { readonly text: string }[]): number {
  return parts.reduce((length, { text }) => length + text.length, markupLength)
}

function excessOf(error: unknown): { readonly numPromptTokens: number; readonly maxModelLen: number } | null {
  if (!OctavoError.isInstance(error) || error.code !== 'context_length_exceeded') return null
  if (!('numPromptTokens' in error) || !('maxModelLen' in error)) return null
  return { numPromptTokens: Number(error.numPromptTokens), maxModelLen: Number(error.maxModelLen) }
}

function isSystem(item: ResponseItem): boolean {
  return item.type === 'message' && (item.role === 'system' || item.role === 'developer')
}

function isUser(item: ResponseItem): boolean {
  return item.type === 'message' && item.role === 'user'
}
