import { TokenizerError } from '../../errors.ts'
import type { JsonObject } from '../../util/json-object.ts'
import { malformed, readArray, readBoolean, readInteger } from '../read-json.ts'
import { byteTokenIds } from './byte-tokens.ts'
import { PrefixTree } from './prefix-tree.ts'
import { WordCache, type WordModel } from './word-model.ts'

/** How much worse an unknown character is than the worst piece (SentencePiece's `kUnkPenalty`). */
const unkPenalty = 10

/** Kudo 2018: of all ways to cut the text into pieces, the one with the highest sum of scores. */
export function createUnigram(config: JsonObject, idOf: ReadonlyMap<string, number>): WordModel {
  const scores = Float64Array.from(readArray(config, 'vocab') ?? [], (entry) => {
    const score: unknown = Array.isArray(entry) ? entry[1] : undefined
    return typeof score === 'number' ? score : malformed('model.vocab', 'an array of [token, score]', entry)
  })
  const unkId = readInteger(config, 'unk_id')
  if (unkId !== null && (unkId < 0 || unkId >= scores.length)) {
    throw new TokenizerError(
      `tokenizer.json: model.unk_id is ${unkId}, but the vocabulary has ${scores.length} pieces.`,
    )
  }
  return new Unigram({ idOf, scores, unkId, hasByteFallback: readBoolean(config, 'byte_fallback') ?? false })
}

interface UnigramOptions {
  readonly idOf: ReadonlyMap<string, number>
  readonly scores: Float64Array
  readonly unkId: number | null
  readonly hasByteFallback: boolean
}

class Unigram implements WordModel {
  readonly #options: UnigramOptions
  readonly #tree: PrefixTree
  readonly #unkScore: number
  readonly #byteIds: readonly number[] | null
  readonly #words: WordCache

  constructor(options: UnigramOptions) {
    this.#options = options
    this.#tree = new PrefixTree(options.idOf)
    this.#unkScore = options.scores.reduce((min, score) => Math.min(min, score), Infinity) - unkPenalty
    this.#byteIds = options.hasByteFallback ? byteTokenIds(options.idOf) : null
    this.#words = new WordCache((word, ids) => this.#encodeWord(word, ids))
  }

  encode(word: string, ids: number[]): void {
    this.#words.encode(word, ids)
  }

  #encodeWord(word: string, ids: number[]): void {
    const { starts, pieces } = this.#bestPath(word)
    const { unkId } = this.#options
    const bounds: number[] = [word.length]
    for (let end = word.length; end > 0;) {
      let start = starts[end]!
      // Unknown characters side by side are one piece.
      if (pieces[end] === unkId) while (start > 0 && pieces[start] === unkId) start = starts[start]!
      bounds.push(start)
      end = start
    }
    for (let i = bounds.length - 1; i > 0; i--) this.#addPiece(word.slice(bounds[i], bounds[i - 1]), ids)
  }

  /** For each end of a piece the best piece that ends there, and where that begins. */
  #bestPath(word: string): { starts: Int32Array; pieces: Int32Array } {
    const { scores, unkId } = this.#options
    const tree = this.#tree
    const best = new Float64Array(word.length + 1)
    const starts = new Int32Array(word.length + 1).fill(-1)
    const pieces = new Int32Array(word.length + 1)
    for (let start = 0; start < word.length;) {
      const charEnd = start + ((word.codePointAt(start) ?? 0) > 0xffff ? 2 : 1)
      let hasChar = false
      let node = PrefixTree.root
      for (let end = start; end < word.length;) {
        node = tree.child(node, word.charCodeAt(end++))
        if (node === -1) break
        const id = tree.valueAt(node)
        if (id === -1) continue
        const score = scores[id]! + best[start]!
        if (starts[end]! < 0 || score > best[end]!) {
          best[end] = score
          starts[end] = start
          pieces[end] = id
        }
        if (end === charEnd) hasChar = true
      }
      if (!hasChar && (starts[charEnd]! < 0 || this.#unkScore + best[start]! > best[charEnd]!)) {
        best[charEnd] = this.#unkScore + best[start]!
        starts[charEnd] = start
        pieces[charEnd] = unkId ?? this.#failUnknown(word.slice(start, charEnd))
      }
      start = charEnd
    }
    return { starts, pieces }
  }

  #addPiece(piece: string, ids: number[]): void {
    const id = this.#options.idOf.get(piece)
    if (id !== undefined) {
      ids.push(id)
      return
    }
    if (this.#byteIds !== null) {
      const bytes = Array.from(Buffer.from(piece, 'utf8'), (byte) => this.#byteIds![byte]!)
      if (!bytes.includes(-1)) {
        for (const byteId of bytes) ids.push(byteId)
        return
      }
    }
    ids.push(this.#options.unkId ?? this.#failUnknown(piece))
  }

  #failUnknown(piece: string): never {
    throw new TokenizerError(
      `The vocabulary has no piece for ${JSON.stringify(piece.slice(0, 40))}, and tokenizer.json names no unknown token.`,
    )
  }
}
