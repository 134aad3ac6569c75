import type { Budget } from './budget.ts'
import { JinjaError } from './jinja-error.ts'
import { escapeHtml } from './html.ts'
import { lengthOf, spaceClass } from './text.ts'

export interface UrlizeOptions {
  /** The most characters of a link's text; asked for where there is a link. */
  readonly limit: () => number | null
  readonly rel: string
  readonly target: string
  readonly extraSchemes: readonly string[]
}

/** Patterns may go over a word as often as it has parts. */
const maxWordLength = 4096

const word = '[\\p{L}\\p{N}_]'
const http = new RegExp(
  `^(?:(?:https?://|www\\.)(?:[\\p{L}\\p{N}_%-]+\\.)*(?:[a-z]{2,63}|xn--[\\p{L}\\p{N}_%]{2,59})` +
    `|(?:[\\p{L}\\p{N}_%-]{2,63}\\.)+(?:com|net|int|edu|gov|org|info|mil)` +
    `|https?://(?:\\p{Nd}{1,3}(?:\\.\\p{Nd}{1,3}){3}|\\[(?:[\\p{Nd}a-f]{0,4}:){2}(?:[\\p{Nd}a-f]{0,4}:?){1,6}\\]))` +
    `(?::\\p{Nd}{1,5})?(?:[/?#][^${spaceClass}]*)?$`,
  'iu',
)
const email = new RegExp(`^[^${spaceClass}]+@${word}[\\p{L}\\p{N}_.-]*\\.${word}+$`, 'u')
const spaces = new RegExp(`([${spaceClass}]+)`)
const opening = /^(?:[(<]|&lt;)+/
const closing = /(?:[)>.,\n]|&gt;)+$/
const pairs = [
  ['(', ')'],
  ['<', '>'],
  ['&lt;', '&gt;'],
] as const

/** Jinja2's `urlize`: links of HTML around what looks like addresses. The text is given escaped. */
export function urlize(text: string, options: UrlizeOptions, budget: Budget): string {
  budget.read(text.length)
  const words = text.split(spaces)
  budget.items(words.length)
  let length = 0
  const linked = words.map((part) => {
    budget.step()
    if (part.length > maxWordLength)
      throw new JinjaError(`urlize() takes words of up to ${maxWordLength} characters, got ${part.length}`)
    const piece = linkWord(part, options)
    length += piece.length
    budget.growth(length)
    return piece
  })
  budget.text(length)
  return linked.join('')
}

function linkWord(whole: string, options: UrlizeOptions): string {
  const head = opening.exec(whole)?.[0] ?? ''
  let middle = whole.slice(head.length)
  let tail = /(?:[)>.,\n]|&gt;)$/.test(middle) ? (closing.exec(middle)?.[0] ?? '') : ''
  middle = middle.slice(0, middle.length - tail.length)
  // A bracket that the address itself opened is part of it.
  for (const [open, close] of pairs) {
    const numOpen = count(middle, open)
    if (numOpen <= count(middle, close)) continue
    for (let i = Math.min(numOpen, count(tail, close)); i > 0; i--) {
      const end = tail.indexOf(close) + close.length
      middle += tail.slice(0, end)
      tail = tail.slice(end)
    }
  }
  return head + link(middle, options) + tail
}

function link(text: string, { limit, rel, target, extraSchemes }: UrlizeOptions): string {
  const attributes =
    (rel === '' ? '' : ` rel="${escapeHtml(rel)}"`) + (target === '' ? '' : ` target="${escapeHtml(target)}"`)
  if (http.test(text)) {
    const scheme = text.startsWith('https://') || text.startsWith('http://') ? '' : 'https://'
    const most = limit()
    const shown = most === null || lengthOf(text) <= most ? text : `${cut(text, most)}...`
    return `<a href="${scheme}${text}"${attributes}>${shown}</a>`
  }
  if (text.startsWith('mailto:') && email.test(text.slice(7))) return `<a href="${text}">${text.slice(7)}</a>`
  const mayBeAddress = text.includes('@') && !text.startsWith('www.') && !text.startsWith('@') && !text.includes(':')
  if (mayBeAddress && email.test(text)) return `<a href="mailto:${text}">${text}</a>`
  return extraSchemes.reduce(
    (linked, scheme) =>
      linked !== scheme && linked.startsWith(scheme) ? `<a href="${linked}"${attributes}>${linked}</a>` : linked,
    text,
  )
}

/** `text[:limit]`, which counts from the end where it is negative. */
function cut(text: string, limit: number): string {
  return Array.from(text).slice(0, limit).join('')
}

function count(text: string, part: string): number {
  return text.split(part).length - 1
}
