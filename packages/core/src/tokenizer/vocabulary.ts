import { TokenizerError } from '../errors.ts'
import { isJsonObject, type JsonObject } from '../util/json-object.ts'
import { malformed, property } from './read-json.ts'

export interface Vocabulary {
  readonly idOf: ReadonlyMap<string, number>
  /** Sparse: an id without a token is a hole. */
  readonly tokens: readonly (string | undefined)[]
}

const maxVocabSize = 2 ** 21
const maxTokenLength = 65_536

export function readVocabulary(model: JsonObject): Vocabulary {
  const vocab = property(model, 'vocab')
  const idOf = new Map<string, number>()
  const tokens: string[] = []
  const entries = Array.isArray(vocab)
    ? unigramEntries(vocab)
    : isJsonObject(vocab)
      ? Object.entries(vocab)
      : malformed('model.vocab', 'an object or an array', vocab)
  if (entries.length > maxVocabSize)
    throw new TokenizerError(`tokenizer.json has ${entries.length} tokens; at most ${maxVocabSize} are allowed.`)
  for (const [token, id] of entries) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= maxVocabSize) {
      throw new TokenizerError(
        `tokenizer.json: the id of token ${JSON.stringify(token.slice(0, 40))} must be an integer from 0 to ${maxVocabSize - 1}, found ${String(id)}.`,
      )
    }
    if (token.length > maxTokenLength)
      throw new TokenizerError(
        `tokenizer.json has a token of ${token.length} characters; at most ${maxTokenLength} are allowed.`,
      )
    // SentencePiece vocabularies may repeat a piece: the last id encodes, every id decodes.
    idOf.set(token, id)
    tokens[id] = token
  }
  return { idOf, tokens }
}

function unigramEntries(vocab: readonly unknown[]): [string, number][] {
  return vocab.map((entry, id) => {
    const token: unknown = Array.isArray(entry) ? entry[0] : undefined
    return typeof token === 'string' ? [token, id] : malformed('model.vocab', 'an array of [token, score]', entry)
  })
}
