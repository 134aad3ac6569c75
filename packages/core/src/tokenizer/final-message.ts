import { Dict, type Value } from './jinja/values.ts'
import { stripText } from './jinja/text.ts'

/** What marks the end of the last message's text in the rendered prompt. */
export interface FinalMark {
  readonly mark: string
  /** The text that is continued. */
  readonly text: string
  readonly messages: readonly Dict[]
}

/**
 * The messages with a mark at the end of the last one's text, be it its content or its last part; `null` where it has none.
 * Searching for the text itself would find it in the end-of-turn marker as well.
 */
export function markFinalMessage(messages: readonly Dict[], mark: string): FinalMark | null {
  const last = messages.at(-1)?.copy()
  if (last === undefined) return null
  const content = last.getText('content')
  const marked = content === undefined ? null : markContent(content, mark)
  if (marked === null) return null
  last.setText('content', marked.content)
  return { mark, text: marked.text, messages: [...messages.slice(0, -1), last] }
}

function markContent(content: Value, mark: string): { content: Value; text: string } | null {
  // The space after the mark tells whether the template trims the end of the text.
  if (typeof content === 'string') return { content: `${content}${mark} `, text: content }
  if (!Array.isArray(content)) return null
  const index = content.findLastIndex((part) => part instanceof Dict && typeof part.getText('text') === 'string')
  const part = content[index]
  if (!(part instanceof Dict)) return null
  const text = part.getText('text') as string
  const marked = part.copy()
  marked.setText('text', `${text}${mark} `)
  return { content: content.with(index, marked), text }
}

/** The prompt up to the mark; `null` where the template did not write it. */
export function cutAtMark(rendered: string, { mark, text }: FinalMark): string | null {
  const at = rendered.lastIndexOf(mark)
  if (at === -1) return null
  const prompt = rendered.slice(0, at)
  const isTrimmed = rendered[at + mark.length] !== ' '
  const blank = text.slice(stripText(text, 'right').length)
  // Of a text that is all white space nothing is left to trim: what stands there is the template's own.
  return isTrimmed && blank !== text && prompt.endsWith(blank) ? prompt.slice(0, prompt.length - blank.length) : prompt
}
