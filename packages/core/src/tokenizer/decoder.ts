import { TokenizerError } from '../errors.ts'
import type { JsonObject } from '../util/json-object.ts'
import { byteFallbackValue, fromByteChars } from './byte-level.ts'
import { compilePattern } from './oniguruma.ts'
import { malformed, readBoolean, readInteger, readString, requireObjects } from './read-json.ts'
import { decodeLossy, decodeStrict, replacementChar } from './utf8.ts'

/** One stage of a decoder: tokens in, tokens or pieces of text out. */
type DecoderStage = (tokens: readonly string[]) => readonly string[]

/** How text can be made token by token, without looking at the tokens before again. */
export type StreamPlan =
  /** The bytes of all tokens, in one row. */
  | { readonly kind: 'bytes' }
  /** A text for each token, byte tokens in runs; then perhaps some leading characters fewer. */
  | {
      readonly kind: 'pieces'
      readonly textOf: (token: string, isFirst: boolean) => string
      readonly hasByteFallback: boolean
      readonly strip: { readonly char: string; readonly count: number } | null
    }
  /** Anything else is decoded from the start each time. */
  | { readonly kind: 'whole' }

export interface Decoder {
  readonly plan: StreamPlan
  decode(tokens: readonly string[]): string
}

const maxDepth = 16
const maxReplaceGrowth = 4

/**
 * The `decoder` section of tokenizer.json, with the semantics of Hugging Face's Rust `tokenizers`.
 *
 * The stages of `@huggingface/tokenizers` differ: ByteLevel breaks byte runs at added tokens; ByteFallback decodes a
 * run that is not UTF-8 lossily, where each of its bytes must become U+FFFD, and drops byte order marks; Metaspace
 * strips one leading mark where all marks of the first token go; WordPiece lacks " do not" among its contractions.
 */
export function createDecoder(config: JsonObject | null): Decoder {
  // Without a decoder tokens are words.
  const stages = config === null ? null : flatten(config, 0)
  const steps = stages?.map(createStage) ?? [(tokens: readonly string[]) => [tokens.join(' ')]]
  return {
    plan: stages === null ? wordsPlan : createPlan(stages),
    decode: (tokens) => steps.reduce<readonly string[]>((result, step) => step(result), tokens).join(''),
  }
}

const wordsPlan: StreamPlan = {
  kind: 'pieces',
  textOf: (token, isFirst) => (isFirst ? token : ` ${token}`),
  hasByteFallback: false,
  strip: null,
}

function flatten(config: JsonObject, depth: number): JsonObject[] {
  if (depth > maxDepth) throw new TokenizerError(`tokenizer.json nests decoders deeper than ${maxDepth}.`)
  if (readString(config, 'type') !== 'Sequence') return [config]
  return requireObjects(config, 'decoders').flatMap((stage) => flatten(stage, depth + 1))
}

function createStage(config: JsonObject): DecoderStage {
  const type = readString(config, 'type')
  switch (type) {
    case 'ByteLevel':
      return (tokens) => [decodeLossy(concatBytes(tokens.map(fromByteChars)))]
    case 'ByteFallback':
      return decodeByteFallback
    case 'Fuse':
      return (tokens) => [tokens.join('')]
    case 'Strip': {
      const char = readString(config, 'content') ?? ' '
      const start = readInteger(config, 'start') ?? 0
      const stop = readInteger(config, 'stop') ?? 0
      return (tokens) => tokens.map((token) => stripChars(token, { char, start, stop }))
    }
    case 'BPEDecoder': {
      const suffix = readString(config, 'suffix') ?? '</w>'
      return (tokens) => tokens.map((token, i) => token.replaceAll(suffix, i === tokens.length - 1 ? '' : ' '))
    }
    default: {
      const textOf = tokenTextOf(config) ?? malformed('decoder.type', 'a known decoder', type)
      return (tokens) => tokens.map((token, i) => textOf(token, i === 0))
    }
  }
}

/** The stages that take each token on its own; `null` for the others. */
function tokenTextOf(config: JsonObject): ((token: string, isFirst: boolean) => string) | null {
  switch (readString(config, 'type')) {
    case 'Replace': {
      const { regex, literal, isPredictable } = compilePattern(config)
      const content = readString(config, 'content') ?? ''
      // Decoding runs on the front thread, for each token.
      if (!isPredictable || content.length > Math.max(1, literal?.length ?? 1) * maxReplaceGrowth) {
        throw new TokenizerError(
          `tokenizer.json: the decoder Replace must have a pattern that does not backtrack without bound, and a content at most ${maxReplaceGrowth} times as long as what it replaces.`,
        )
      }
      return (token) => token.replace(regex, () => content)
    }
    case 'Metaspace': {
      const mark = readString(config, 'replacement') ?? '\u2581'
      const isPrefixed =
        (readString(config, 'prepend_scheme') ?? 'always') !== 'never' &&
        (readBoolean(config, 'add_prefix_space') ?? true)
      return (token, isFirst) => token.replaceAll(mark, isFirst && isPrefixed ? '' : ' ')
    }
    case 'WordPiece': {
      const prefix = readString(config, 'prefix') ?? '##'
      const cleansUp = readBoolean(config, 'cleanup') ?? true
      return (token, isFirst) => {
        const text = isFirst ? token : token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`
        return cleansUp ? cleanUp(text) : text
      }
    }
    default:
      return null
  }
}

function createPlan(stages: readonly JsonObject[]): StreamPlan {
  const types = stages.map((stage) => readString(stage, 'type'))
  if (types.length === 1 && types[0] === 'ByteLevel') return { kind: 'bytes' }
  const perToken = stages.map(tokenTextOf)
  const numLeading = perToken.findIndex((textOf) => textOf === null)
  const mapping = perToken.slice(0, numLeading === -1 ? undefined : numLeading).filter((textOf) => textOf !== null)
  const rest = numLeading === -1 ? [] : types.slice(numLeading)
  const shape = rest.join(' ')
  const isKnown = ['', 'Fuse', 'ByteFallback', 'ByteFallback Fuse', 'Fuse Strip', 'ByteFallback Fuse Strip'].includes(
    shape,
  )
  const last = stages.at(-1)
  const strip =
    isKnown && shape.endsWith('Strip') && last !== undefined
      ? { char: readString(last, 'content') ?? ' ', count: readInteger(last, 'start') ?? 0 }
      : null
  const stripsEnd =
    strip !== null && last !== undefined && ((readInteger(last, 'stop') ?? 0) > 0 || strip.char.length !== 1)
  if (!isKnown || stripsEnd) return { kind: 'whole' }
  return {
    kind: 'pieces',
    textOf: (token, isFirst) => mapping.reduce((text, textOf) => textOf(text, isFirst), token),
    hasByteFallback: shape.startsWith('ByteFallback'),
    strip,
  }
}

/** Each run of byte tokens is its text if it is UTF-8 as a whole, and else one U+FFFD per byte. */
function decodeByteFallback(tokens: readonly string[]): string[] {
  const result: string[] = []
  let run: number[] = []
  const endRun = (): void => {
    if (run.length > 0) result.push(decodeStrict(Uint8Array.from(run)) ?? replacementChar.repeat(run.length))
    run = []
  }
  for (const token of tokens) {
    const byte = byteFallbackValue(token)
    if (byte !== null) run.push(byte)
    else {
      endRun()
      result.push(token)
    }
  }
  endRun()
  return result
}

function stripChars(text: string, { char, start, stop }: { char: string; start: number; stop: number }): string {
  let from = 0
  let to = text.length
  for (let i = 0; i < start && text.startsWith(char, from); i++) from += char.length
  for (
    let i = 0;
    i < stop && to - char.length >= from && text.endsWith(char) && text.slice(to - char.length, to) === char;
    i++
  )
    to -= char.length
  return text.slice(from, to)
}

/** Part of the WordPiece decoder itself; nothing else is cleaned up. */
function cleanUp(text: string): string {
  return text
    .replaceAll(' .', '.')
    .replaceAll(' ?', '?')
    .replaceAll(' !', '!')
    .replaceAll(' ,', ',')
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(' do not', " don't")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re")
}

function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
