import { TokenizerError } from '../../errors.ts'
import type { JsonObject } from '../../util/json-object.ts'
import { property, readBoolean, readInteger, readString } from '../read-json.ts'
import { createBpe } from './bpe.ts'
import { createUnigram } from './unigram.ts'
import type { WordModel } from './word-model.ts'
import { createWordPiece } from './word-piece.ts'

/** @throws TokenizerError naming a model that is unknown, or what it lacks */
export function createWordModel(config: JsonObject, idOf: ReadonlyMap<string, number>): WordModel {
  const type = readString(config, 'type') ?? guessType(config)
  switch (type) {
    case 'BPE':
      return createBpe(config, idOf)
    case 'Unigram':
      return createUnigram(config, idOf)
    case 'WordPiece':
      return createWordPiece({
        idOf,
        unkId: idOf.get(readString(config, 'unk_token') ?? '[UNK]') ?? null,
        prefix: readString(config, 'continuing_subword_prefix') ?? '##',
        maxCharsPerWord: readInteger(config, 'max_input_chars_per_word') ?? 100,
      })
    case 'WordLevel':
      return createWordLevel(idOf, readString(config, 'unk_token') ?? '<unk>')
    default:
      throw new TokenizerError(
        `tokenizer.json: the model ${JSON.stringify(type)} is not supported; known are BPE, Unigram, WordPiece and WordLevel.`,
      )
  }
}

/** Files of old versions leave the type out. */
function guessType(config: JsonObject): string | null {
  if (Array.isArray(property(config, 'vocab'))) return 'Unigram'
  if (property(config, 'merges') !== undefined) return 'BPE'
  return readString(config, 'continuing_subword_prefix') !== null ||
    readInteger(config, 'max_input_chars_per_word') !== null
    ? 'WordPiece'
    : readBoolean(config, 'byte_fallback') === null && readString(config, 'unk_token') !== null
      ? 'WordLevel'
      : null
}

function createWordLevel(idOf: ReadonlyMap<string, number>, unkToken: string): WordModel {
  return {
    encode(word, ids) {
      const id = idOf.get(word) ?? idOf.get(unkToken)
      if (id === undefined) {
        throw new TokenizerError(
          `The vocabulary has no ${JSON.stringify(word.slice(0, 40))}, and no ${JSON.stringify(unkToken)} for what it lacks.`,
        )
      }
      ids.push(id)
    },
  }
}
