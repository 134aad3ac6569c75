import { TokenizerError } from '../errors.ts'
import { isJsonObject, type JsonObject } from '../util/json-object.ts'
import { property, readBoolean, readInteger, readObject, readString, requireObjects } from './read-json.ts'

export interface AddedToken {
  readonly id: number
  readonly content: string
  /** Left out of the text with `skipSpecialTokens`. */
  readonly isSpecial: boolean
  readonly isSingleWord: boolean
  readonly stripsLeft: boolean
  readonly stripsRight: boolean
  /** Looked for in the normalized text instead of the raw one. */
  readonly isNormalized: boolean
}

const maxAddedTokens = 131_072
const maxContentLength = 4096

/**
 * `added_tokens` of tokenizer.json, then what only tokenizer_config.json knows: its `added_tokens_decoder`, and named
 * special tokens (bos, eos, …) that are plain vocabulary so far.
 */
export function readAddedTokens(
  tokenizerJson: JsonObject,
  config: JsonObject,
  idOf: ReadonlyMap<string, number>,
): AddedToken[] {
  const tokens = requireObjects(tokenizerJson, 'added_tokens').map((token) =>
    readAddedToken(token, readInteger(token, 'id')),
  )
  const known = new Set(tokens.map(({ content }) => content))
  const add = (token: AddedToken): void => {
    if (known.has(token.content)) return
    known.add(token.content)
    tokens.push(token)
  }
  for (const [id, token] of Object.entries(readObject(config, 'added_tokens_decoder') ?? {})) {
    if (isJsonObject(token)) add(readAddedToken(token, Number(id)))
  }
  for (const name of ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token']) {
    const content = readTokenName(config, name)
    const id = content === null ? undefined : idOf.get(content)
    if (content !== null && id !== undefined && content !== '') {
      add({
        id,
        content,
        isSpecial: true,
        isSingleWord: false,
        stripsLeft: false,
        stripsRight: false,
        isNormalized: false,
      })
    }
  }
  if (tokens.length > maxAddedTokens)
    throw new TokenizerError(`tokenizer.json adds ${tokens.length} tokens; at most ${maxAddedTokens} are allowed.`)
  return tokens
}

/** `"<s>"` or `{ "content": "<s>" }`. */
export function readTokenName(config: JsonObject, name: string): string | null {
  const value = property(config, name)
  return isJsonObject(value) ? readString(value, 'content') : readString(config, name)
}

function readAddedToken(token: JsonObject, id: number | null): AddedToken {
  const content = readString(token, 'content')
  if (content === null || content === '' || content.length > maxContentLength) {
    throw new TokenizerError(
      `tokenizer.json: an added token must have from 1 to ${maxContentLength} characters, found ${content?.length ?? 'none'}.`,
    )
  }
  if (id === null || !Number.isSafeInteger(id) || id < 0 || id >= 2 ** 21) {
    throw new TokenizerError(
      `tokenizer.json: the id of added token ${JSON.stringify(content.slice(0, 40))} must be an integer from 0 to ${2 ** 21 - 1}, found ${String(id)}.`,
    )
  }
  const isSpecial = readBoolean(token, 'special') ?? false
  return {
    id,
    content,
    isSpecial,
    isSingleWord: readBoolean(token, 'single_word') ?? false,
    stripsLeft: readBoolean(token, 'lstrip') ?? false,
    stripsRight: readBoolean(token, 'rstrip') ?? false,
    isNormalized: readBoolean(token, 'normalized') ?? !isSpecial,
  }
}
