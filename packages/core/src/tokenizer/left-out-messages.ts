import type { ContentFormat } from './content-format.ts'
import { stripText } from './jinja/text.ts'
import { Dict } from './jinja/values.ts'

export interface LeftOutOptions {
  readonly format: ContentFormat
  /** The prompt of all messages. */
  readonly rendered: string
  /** The prompt of other messages, or `null` where the template refuses them. */
  readonly tryRender: (messages: readonly Dict[]) => string | null
}

/** A template that compares with one of these goes by roles; others write whatever role there is. */
const commonRoles = ['user', 'assistant', 'system']
/** Each message whose absence is tried out costs a rendering. */
const maxTrials = 8

/**
 * The index of a message that the template leaves out altogether because it does not know the role, -1 where there is
 * none: without it, the prompt is the same. What becomes of the roles that it knows is up to the template.
 */
export function findLeftOutMessage(messages: readonly Dict[], { format, rendered, tryRender }: LeftOutOptions): number {
  if (!commonRoles.some((role) => format.words.has(role))) return -1
  const unknown = [...messages.keys()].filter((index) => {
    const message = messages[index]!
    return hasText(message) && !format.words.has(message.getText('role') as string)
  })
  const leftOut = unknown.slice(0, maxTrials).find((index) => tryRender(messages.toSpliced(index, 1)) === rendered)
  return leftOut ?? -1
}

function hasText(message: Dict): boolean {
  const content = message.getText('content')
  if (typeof content === 'string') return stripText(content, 'both') !== ''
  return Array.isArray(content) && content.some((part) => part instanceof Dict && part.getText('text') !== '')
}
