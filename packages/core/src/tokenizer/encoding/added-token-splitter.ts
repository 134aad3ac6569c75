import type { AddedToken } from '../added-tokens.ts'
import { PrefixTree } from './prefix-tree.ts'
import { whitespace } from './unicode-sets.ts'

const wordAtStart = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u
const wordAtEnd = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u
const isSpace = new RegExp(`[${whitespace}]`, 'u')

/** A stretch of text, or an added token in it. */
export interface Section {
  readonly start: number
  readonly end: number
  /** `null` = text between tokens. */
  readonly tokenId: number | null
}

/** Finds added tokens in a text: the leftmost, and of those the longest. */
export class AddedTokenSplitter {
  readonly #tokens: readonly AddedToken[]
  readonly #tree: PrefixTree
  readonly #firstUnits: RegExp | null

  /** @param contents as they are looked for, one for each token */
  constructor(tokens: readonly AddedToken[], contents: readonly string[]) {
    this.#tokens = tokens
    const entries = contents.map((content, i) => [content, i] as const).filter(([content]) => content !== '')
    this.#tree = new PrefixTree(entries.toReversed())
    const firsts = new Set(entries.map(([content]) => content.charCodeAt(0)))
    this.#firstUnits =
      entries.length === 0
        ? null
        : new RegExp(`[${[...firsts].map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')}]`, 'g')
  }

  split(text: string): Section[] {
    const sections: Section[] = []
    let from = 0
    for (let match = this.#next(text, 0); match !== null; match = this.#next(text, match.end)) {
      const token = this.#tokens[match.index]!
      if (token.isSingleWord && !standsAlone(text, match)) continue
      let { start, end } = match
      // Space that a token before has taken is its own.
      if (token.stripsLeft) {
        while (start > from && isSpace.test(text[start - 1]!)) start--
        start = Math.max(start, from)
      }
      if (token.stripsRight) while (end < text.length && isSpace.test(text[end]!)) end++
      if (from < start) sections.push({ start: from, end: start, tokenId: null })
      // One that a token before has taken whole is none.
      if (start < end) sections.push({ start, end, tokenId: token.id })
      from = end
    }
    if (from < text.length) sections.push({ start: from, end: text.length, tokenId: null })
    return sections
  }

  #next(text: string, from: number): { start: number; end: number; index: number } | null {
    const firstUnits = this.#firstUnits
    if (firstUnits === null) return null
    firstUnits.lastIndex = from
    for (let found = firstUnits.exec(text); found !== null; found = firstUnits.exec(text)) {
      const longest = this.#longestAt(text, found.index)
      if (longest !== null) return longest
    }
    return null
  }

  #longestAt(text: string, start: number): { start: number; end: number; index: number } | null {
    let longest: { start: number; end: number; index: number } | null = null
    let node = PrefixTree.root
    for (let at = start; at < text.length;) {
      node = this.#tree.child(node, text.charCodeAt(at++))
      if (node === -1) break
      const index = this.#tree.valueAt(node)
      if (index !== -1) longest = { start, end: at, index }
    }
    return longest
  }
}

function standsAlone(text: string, { start, end }: { start: number; end: number }): boolean {
  return !wordAtEnd.test(text.slice(Math.max(0, start - 2), start)) && !wordAtStart.test(text.slice(end, end + 2))
}
