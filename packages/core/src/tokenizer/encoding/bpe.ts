import { TokenizerError } from '../../errors.ts'
import type { JsonObject } from '../../util/json-object.ts'
import { malformed, property, readArray, readBoolean, readString } from '../read-json.ts'
import { byteTokenIds } from './byte-tokens.ts'
import { Merger } from './merger.ts'
import { PairTable } from './pair-table.ts'
import { isOneUnit, SafeCuts } from './safe-cuts.ts'
import { WordCache, type WordModel } from './word-model.ts'

interface Merge {
  readonly left: string
  readonly right: string
  /** Of merges with the same rank the leftmost comes first. */
  readonly rank: number
}

interface BpeOptions {
  readonly idOf: ReadonlyMap<string, number>
  readonly merges: readonly Merge[]
  /** Before each character of a word but the first, where the vocabulary says so. */
  readonly prefix: string
  /** After the last one. */
  readonly suffix: string
  readonly unkToken: string | null
  readonly fusesUnknown: boolean
  readonly hasByteFallback: boolean
  /** A word that is a token as a whole is taken without a look at the merges. */
  readonly ignoresMerges: boolean
}

/** From so many characters on, a word is cut where no merge can reach across. */
const longWord = 48

export function createBpe(config: JsonObject, idOf: ReadonlyMap<string, number>): WordModel {
  const dropout = property(config, 'dropout')
  if (typeof dropout === 'number' && dropout !== 0) {
    throw new TokenizerError(
      `tokenizer.json: the model BPE has a dropout of ${dropout}, which tokenizes at random; set it to null.`,
    )
  }
  return new Bpe({
    idOf,
    merges: readMerges(config),
    prefix: readString(config, 'continuing_subword_prefix') ?? '',
    suffix: readString(config, 'end_of_word_suffix') ?? '',
    unkToken: readString(config, 'unk_token'),
    fusesUnknown: readBoolean(config, 'fuse_unk') ?? false,
    hasByteFallback: readBoolean(config, 'byte_fallback') ?? false,
    ignoresMerges: readBoolean(config, 'ignore_merges') ?? false,
  })
}

/** `"a b"` or `["a", "b"]`; in order, unless `merge_ranks`, which only our own conversion of GGUF files writes, has other ranks. */
function readMerges(config: JsonObject): Merge[] {
  const ranks = readArray(config, 'merge_ranks')
  return (readArray(config, 'merges') ?? []).map((value, i) => {
    const parts: readonly unknown[] = typeof value === 'string' ? value.split(' ') : Array.isArray(value) ? value : []
    const [left, right] = parts
    const rank = ranks === null ? i : ranks[i]
    if (parts.length === 2 && typeof left === 'string' && typeof right === 'string' && typeof rank === 'number')
      return { left, right, rank }
    return malformed('model.merges', 'a list of pairs', value)
  })
}

class Bpe implements WordModel {
  readonly #options: BpeOptions
  readonly #merger: Merger
  readonly #byteIds: readonly number[] | null
  readonly #unkId: number | null
  /** Of characters of one UTF-16 unit inside a word; -1: none. */
  readonly #unitIds = new Int32Array(65_536).fill(-1)
  readonly #words: WordCache
  readonly #parts: WordCache
  #cuts: SafeCuts | null = null

  constructor(options: BpeOptions) {
    this.#options = options
    this.#merger = new Merger(createTable(options))
    this.#byteIds = options.hasByteFallback ? byteTokenIds(options.idOf) : null
    this.#unkId = options.unkToken === null ? null : (options.idOf.get(options.unkToken) ?? null)
    // Inside a word a prefix makes other tokens of all characters but the first.
    if (options.prefix === '')
      for (const [token, id] of options.idOf) if (isOneUnit(token)) this.#unitIds[token.charCodeAt(0)] = id
    this.#words = new WordCache((word, ids) => this.#encodeWord(word, ids))
    this.#parts = new WordCache((word, ids) => this.#mergeWord(word, ids))
  }

  encode(word: string, ids: number[]): void {
    this.#words.encode(word, ids)
  }

  #encodeWord(word: string, ids: number[]): void {
    const { idOf, ignoresMerges, merges, prefix, suffix } = this.#options
    const whole = ignoresMerges ? idOf.get(word) : undefined
    if (whole !== undefined) {
      ids.push(whole)
      return
    }
    if (word.length < longWord || prefix !== '' || suffix !== '') return this.#mergeWord(word, ids)
    this.#cuts ??= new SafeCuts(idOf, merges)
    let from = 0
    for (let at = this.#cuts.next(word, 1); at < word.length; at = this.#cuts.next(word, at + 1)) {
      this.#parts.encode(word.slice(from, at), ids)
      from = at
    }
    if (from === 0) this.#mergeWord(word, ids)
    else this.#parts.encode(word.slice(from), ids)
  }

  #mergeWord(word: string, ids: number[]): void {
    const { idOf, prefix, suffix, unkToken, fusesUnknown } = this.#options
    const merger = this.#merger
    const unitIds = this.#unitIds
    const lastStart = suffix === '' ? word.length : word.length - 2
    merger.clear()
    let numUnknown = 0
    const endUnknown = (): void => {
      if (numUnknown > 0) merger.add(this.#unkId!)
      numUnknown = 0
    }
    for (let at = 0; at < word.length;) {
      const unitId = at < lastStart ? unitIds[word.charCodeAt(at)]! : -1
      if (unitId >= 0) {
        endUnknown()
        merger.add(unitId)
        at++
        continue
      }
      const end = at + ((word.codePointAt(at) ?? 0) > 0xffff ? 2 : 1)
      const char = (at > 0 ? prefix : '') + word.slice(at, end) + (end === word.length ? suffix : '')
      at = end
      const id = idOf.get(char)
      const bytes = id === undefined ? this.#bytesOf(char) : null
      if (id !== undefined) {
        endUnknown()
        merger.add(id)
      } else if (bytes !== null) {
        // As in the library, an unknown character before them comes after them.
        for (const byteId of bytes) merger.add(byteId)
      } else if (unkToken !== null) {
        if (this.#unkId === null)
          throw new TokenizerError(`The vocabulary lacks its unknown token ${JSON.stringify(unkToken)}.`)
        if (!fusesUnknown) endUnknown()
        numUnknown++
      }
    }
    endUnknown()
    merger.run(ids)
  }

  #bytesOf(char: string): number[] | null {
    if (this.#byteIds === null) return null
    const found: number[] = []
    for (const byte of Buffer.from(char, 'utf8')) {
      const id = this.#byteIds[byte]!
      if (id < 0) return null
      found.push(id)
    }
    return found
  }
}

function createTable({ idOf, merges, prefix }: BpeOptions): PairTable {
  const table = new PairTable(merges.length)
  for (const { left, right, rank } of merges) {
    const leftId = idOf.get(left)
    const rightId = idOf.get(right)
    const joined = idOf.get(left + (prefix === '' ? right : right.slice(prefix.length)))
    if (leftId === undefined || rightId === undefined || joined === undefined) {
      throw new TokenizerError(
        `tokenizer.json: merge ${rank} (${JSON.stringify(left.slice(0, 40))}, ${JSON.stringify(right.slice(0, 40))}) names a token that the vocabulary lacks.`,
      )
    }
    table.set(leftId, rightId, { rank, joined })
  }
  return table
}
