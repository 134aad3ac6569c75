import { complementOf, intersectionOf, utf8Sequences, type CodePoints } from '../automaton/code-points.ts'
import { byteClass, literal, type GrammarWriter } from './grammar-writer.ts'

/** How a set of characters is spelled: alternatives of EBNF, none where nothing of it can be written. */
export type Spelling = (set: CodePoints, writer: GrammarWriter) => readonly string[]

const ascii: CodePoints = [[0, 0x7f]]
const beyondAscii = complementOf(ascii)

/** Characters as themselves. NUL, which ends strings in the library, is never written. */
export const spellPlain: Spelling = (set, writer) => spellBytes(intersectionOf(set, [[1, 0x10ffff]]), writer)

/** Characters inside a JSON string, each in one way only: as `JSON.stringify` writes them. */
export const spellInJson: Spelling = (set, writer) => {
  const literalSet = intersectionOf(set, [
    [0x20, 0x21],
    [0x23, 0x5b],
    [0x5d, 0x10ffff],
  ])
  const short: string[] = []
  const zero: string[] = []
  const one: string[] = []
  for (let code = 0; code <= 0x5c; code++) {
    if ((code >= 0x20 && code !== 0x22 && code !== 0x5c) || !has(set, code)) continue
    const text = JSON.stringify(String.fromCharCode(code)).slice(1, -1)
    if (text.length === 2) short.push(text[1]!)
    else (code < 0x10 ? zero : one).push(text.at(-1)!)
  }
  const escaped = [
    ['\\', short],
    ['\\u000', zero],
    ['\\u001', one],
  ] as const
  return [
    ...spellBytes(literalSet, writer),
    ...escaped.flatMap(([begin, ends]) => (ends.length === 0 ? [] : [`${literal(begin)} ${characterClass(ends)}`])),
  ]
}

function has(set: CodePoints, code: number): boolean {
  return set.some(([first, last]) => first <= code && code <= last)
}

function characterClass(characters: readonly string[]): string {
  return byteClass(characters.map((character) => [character.charCodeAt(0), character.charCodeAt(0)]))
}

function spellBytes(set: CodePoints, writer: GrammarWriter): string[] {
  const inAscii = intersectionOf(set, ascii)
  const beyond = intersectionOf(set, beyondAscii)
  const spelled: string[] = []
  if (inAscii.length > 0) spelled.push(byteClass(inAscii))
  // A rule of its own: byte classes must not stand in a rule with a counted repetition, which reads them as characters.
  if (beyond.length > 0) spelled.push(writer.rule('utf8', utf8Body(beyond, writer)))
  return spelled
}

/** Sequences that share their first byte's range or what follows are joined, so that large sets stay small. */
function utf8Body(set: CodePoints, writer: GrammarWriter): string {
  const bySuffix = new Map<string, CodePoints[number][]>()
  const byLead = new Map<string, CodePoints[]>()
  const leads = new Map<string, CodePoints[number]>()
  for (const sequence of utf8Sequences(set)) {
    const lead = `${sequence[0]![0]}-${sequence[0]![1]}`
    leads.set(lead, sequence[0]!)
    byLead.set(lead, [...(byLead.get(lead) ?? []), sequence.slice(1)])
  }
  for (const [lead, tails] of byLead) {
    const body = tailBody(tails, writer)
    const ranges = bySuffix.get(body)
    if (ranges === undefined) bySuffix.set(body, [leads.get(lead)!])
    else ranges.push(leads.get(lead)!)
  }
  return [...bySuffix].map(([body, ranges]) => `${byteClass(ranges)} ${body}`).join(' | ')
}

function tailBody(tails: readonly CodePoints[], writer: GrammarWriter): string {
  if (tails.every((tail) => tail.length === 1)) return byteClass(tails.flat())
  if (tails.length === 1) return tails[0]!.map((range) => byteClass([range])).join(' ')
  const byRange = new Map<string, CodePoints[]>()
  for (const tail of tails) {
    const key = byteClass([tail[0]!])
    byRange.set(key, [...(byRange.get(key) ?? []), tail.slice(1)])
  }
  const bodies = [...byRange].map(([range, rest]) => `${range} ${tailBody(rest, writer)}`)
  return bodies.length === 1 ? bodies[0]! : writer.rule('utf8', bodies.join(' | '))
}
