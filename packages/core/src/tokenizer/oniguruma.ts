import { SplitPreTokenizer } from '@huggingface/tokenizers'
import { TokenizerError } from '../errors.ts'
import type { JsonObject } from '../util/json-object.ts'
import { readObject, readString } from './read-json.ts'

const maxPatternLength = 65_536

/**
 * tokenizer.json holds Oniguruma regular expressions; `@huggingface/tokenizers` translates them to JavaScript's.
 * Global and unicode; the caller resets `lastIndex`.
 */
export function compileOniguruma(source: string): RegExp {
  if (source.length > maxPatternLength) {
    throw new TokenizerError(
      `tokenizer.json has a pattern of ${source.length} characters; at most ${maxPatternLength} are allowed.`,
    )
  }
  try {
    const { pattern } = new SplitPreTokenizer({
      type: 'Split',
      pattern: { Regex: source },
      behavior: 'Isolated',
      invert: false,
    })
    if (pattern !== null) return pattern
  } catch (error) {
    throw new TokenizerError(`tokenizer.json has a pattern that JavaScript cannot express: ${source.slice(0, 200)}`, {
      cause: error,
    })
  }
  throw new TokenizerError(`tokenizer.json has an unreadable pattern: ${source.slice(0, 200)}`)
}

/** `{ "String": … }` or `{ "Regex": … }`. */
export function compilePattern(config: JsonObject): RegExp {
  const pattern = readObject(config, 'pattern') ?? {}
  const literal = readString(pattern, 'String')
  if (literal !== null) return new RegExp(escapeRegExp(literal), 'gu')
  const source = readString(pattern, 'Regex')
  if (source === null) throw new TokenizerError('tokenizer.json: "pattern" must have "String" or "Regex".')
  return compileOniguruma(source)
}

export function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}
