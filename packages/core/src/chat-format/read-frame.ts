import type { CallFrame, CallSlot } from './chat-format.ts'
import { firstOf, type PieceReader, type Step } from './piece-reader.ts'
import { wordsOf } from './words-of.ts'

export interface CallHead {
  readonly name: string
  readonly id: string | null
}

const maxSlotLength = 512
/** A name or an id as any dialect writes it: one word, no markup. */
const plainSlot = /^[^\s<>{}"|]+$/

/**
 * Reads a call up to where its arguments begin; null where it is none.
 * @param ends what may come next where the last text before the arguments is left out, or has no words
 */
export function* readHead(reader: PieceReader, frame: CallFrame, ends: readonly string[]): Step<CallHead | null> {
  const slots = new Map<CallSlot, string>()
  for (let i = 0; i < frame.length; i++) {
    const part = frame[i]!
    if (part === 'arguments') break
    if (typeof part === 'object') {
      // Models leave out what stands between the last slot and the arguments (a fence of Markdown, a word).
      if (!(yield* reader.takeWords(wordsOf(part.text))) && frame[i + 1] !== 'arguments') return null
      continue
    }
    const next = nextTexts(frame, i)
    yield* reader.skipBlank()
    const slot = yield* readSlot(reader, [...next.keys(), ...ends])
    if (slot === null) return null
    slots.set(part, slot.text)
    i = (next.get(slot.end) ?? i + 1) - 1
  }
  const [name, id] = [slots.get('name'), slots.get('id') ?? null]
  if (name !== undefined) return { name, id }
  return id === null ? null : { name: nameInId(id), id }
}

/** `functions.NAME:0`, or less of it. */
function nameInId(id: string): string {
  return id.replace(/^functions\./u, '').replace(/:\d+$/u, '')
}

/** Texts between here and the arguments by their first words: slots before a later one are left out. */
function nextTexts(frame: CallFrame, from: number): Map<string, number> {
  const texts = new Map<string, number>()
  for (let i = from + 1; i < frame.length && frame[i] !== 'arguments'; i++) {
    const part = frame[i]!
    const first = typeof part === 'object' ? wordsOf(part.text).at(0) : undefined
    if (first !== undefined && !texts.has(first)) texts.set(first, i)
  }
  return texts
}

/** A slot's text and the word that ends it, which is next then. A line's end or white space ends it too. */
function* readSlot(reader: PieceReader, ends: readonly string[]): Step<{ text: string; end: string } | null> {
  for (;;) {
    const { rest } = reader
    const found = firstOf(rest, [...ends, '\n', ' '])
    const isSure = found !== null && !ends.some((end) => mayBeginAt(rest, end, found.index))
    if (found !== null && found.index <= maxSlotLength && (isSure || reader.hasEnded)) {
      const text = rest.slice(0, found.index)
      reader.at += found.index
      return plainSlot.test(text) ? { text, end: found.word } : null
    }
    if (rest.length > maxSlotLength || !(yield* reader.more())) return null
  }
}

/** Whether a longer word than the one found may stand before it or there, as far as the text goes. */
function mayBeginAt(text: string, word: string, before: number): boolean {
  for (let i = Math.max(0, text.length - word.length + 1); i <= before; i++)
    if (word.startsWith(text.slice(i))) return true
  return false
}
