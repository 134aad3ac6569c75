import { TokenizerError } from '../../errors.ts'
import { WordCache, type WordModel } from './word-model.ts'

interface WordPieceOptions {
  readonly idOf: ReadonlyMap<string, number>
  readonly unkId: number | null
  /** Marks the pieces that do not begin a word. */
  readonly prefix: string
  readonly maxCharsPerWord: number
}

/** The longest piece, then the longest piece of the rest; a word that is not made of pieces is unknown as a whole. */
export function createWordPiece({ idOf, unkId, prefix, maxCharsPerWord }: WordPieceOptions): WordModel {
  let maxLength = 1
  for (const token of idOf.keys()) maxLength = Math.max(maxLength, token.length)

  const pieces = (word: string): number[] | null => {
    const found: number[] = []
    for (let start = 0; start < word.length;) {
      let end = Math.min(word.length, start + maxLength)
      let id: number | undefined
      for (; end > start; end--) {
        const piece = word.slice(start, end)
        id = idOf.get(start > 0 ? prefix + piece : piece)
        if (id !== undefined) break
      }
      if (id === undefined) return null
      found.push(id)
      start = end
    }
    return found
  }
  const cache = new WordCache((word, ids) => {
    const isLong = word.length > maxCharsPerWord && Array.from(word).length > maxCharsPerWord
    const found = isLong ? null : pieces(word)
    if (found !== null) for (const id of found) ids.push(id)
    else if (unkId !== null) ids.push(unkId)
    else {
      throw new TokenizerError(
        `The vocabulary has no pieces for ${JSON.stringify(word.slice(0, 40))}, and no unknown token.`,
      )
    }
  })
  return cache
}
