import { TokenizerError } from '../../errors.ts'
import type { JsonObject } from '../../util/json-object.ts'
import { toByteChars } from '../byte-level.ts'
import { compileOniguruma, compilePattern, findMatches, type Pattern } from '../oniguruma.ts'
import { malformed, property, readBoolean, readInteger, readString, requireObjects } from '../read-json.ts'
import { parseBehavior, splitAt, type SplitBehavior } from './split.ts'
import { punctuation, whitespace } from './unicode-sets.ts'

/** A text in pieces; whether the first one begins where the text began, before anything was taken away. */
export interface Pieces {
  readonly texts: readonly string[]
  readonly isAtStart: boolean
}

export interface PreTokenizer {
  split(pieces: Pieces): Pieces
  /** What is still to be done with each piece by itself. */
  readonly finish: (piece: string) => string
  readonly isPredictable: boolean
}

type Step = (pieces: Pieces) => Pieces
interface Part {
  readonly step: Step
  readonly finish?: (piece: string) => string
  readonly isPredictable: boolean
}

const maxParts = 64
const maxDepth = 16

/**
 * The `pre_tokenizer` section of tokenizer.json, as Rust's `tokenizers` runs it.
 * @throws TokenizerError naming a part that is unknown or not supported
 */
export function createPreTokenizer(config: JsonObject | null): PreTokenizer {
  const parts = config === null ? [] : flatten(config, 0).map(createPart)
  if (parts.length > maxParts)
    throw new TokenizerError(`tokenizer.json has ${parts.length} pre-tokenizers; at most ${maxParts} are allowed.`)
  const last = parts.at(-1)
  const steps = parts.map(({ step, finish }, i) => (i < parts.length - 1 && finish ? mapAfter(step, finish) : step))
  return {
    isPredictable: parts.every(({ isPredictable }) => isPredictable),
    split: (pieces) => steps.reduce((result, step) => step(result), pieces),
    finish: last?.finish ?? ((piece) => piece),
  }
}

function mapAfter(step: Step, finish: (piece: string) => string): Step {
  return (pieces) => {
    const { texts, isAtStart } = step(pieces)
    return { texts: texts.map(finish), isAtStart }
  }
}

function flatten(config: JsonObject, depth: number): JsonObject[] {
  if (depth > maxDepth) throw new TokenizerError(`tokenizer.json nests pre-tokenizers deeper than ${maxDepth}.`)
  if (readString(config, 'type') !== 'Sequence') return [config]
  return requireObjects(config, 'pretokenizers').flatMap((part) => flatten(part, depth + 1))
}

const gpt2Pattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
const rustWord = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}'

function createPart(config: JsonObject): Part {
  const type = readString(config, 'type')
  switch (type) {
    case 'ByteLevel':
      return createByteLevel(config)
    case 'Metaspace':
      return { step: createMetaspace(config), isPredictable: true }
    case 'Split': {
      const pattern = compilePattern(config)
      const inverts = readBoolean(config, 'invert') ?? false
      return splitBy(pattern, parseBehavior(property(config, 'behavior')), inverts)
    }
    case 'BertPreTokenizer': {
      const words = splitBy(ours(`[${whitespace}]`), 'Removed')
      const marks = splitBy(ours(`[${punctuation}]`), 'Isolated')
      return { step: (pieces) => marks.step(words.step(pieces)), isPredictable: true }
    }
    case 'Whitespace':
      return splitBy(ours(`[${rustWord}]+|[^${rustWord}${whitespace}]+`), 'Removed', true)
    case 'WhitespaceSplit':
      return splitBy(ours(`[${whitespace}]`), 'Removed')
    case 'Punctuation':
      return splitBy(ours(`[${punctuation}]`), parseBehavior(property(config, 'behavior') ?? 'Isolated'))
    case 'Digits':
      return splitBy(ours('\\p{N}'), (readBoolean(config, 'individual_digits') ?? false) ? 'Isolated' : 'Contiguous')
    case 'CharDelimiterSplit':
      return splitBy(compilePattern({ pattern: { String: readString(config, 'delimiter') ?? '' } }), 'Removed')
    case 'FixedLength': {
      const length = readInteger(config, 'length') ?? 5
      if (length < 1) return malformed('pre_tokenizer.length', 'a positive integer', length)
      return splitBy(ours(`[\\s\\S]{1,${Math.min(length, 65_536)}}`), 'Isolated')
    }
    default:
      throw new TokenizerError(
        `tokenizer.json: the pre-tokenizer ${JSON.stringify(type)} is not supported; take a checkpoint that splits text otherwise.`,
      )
  }
}

/** A pattern in JavaScript's own terms. */
function ours(source: string): Pattern {
  return { regex: new RegExp(source, 'gu'), literal: null, isPredictable: true }
}

function splitBy(pattern: Pattern, behavior: SplitBehavior, inverts = false): Part {
  return {
    isPredictable: pattern.isPredictable,
    step({ texts, isAtStart }) {
      const result: string[] = []
      let staysAtStart = isAtStart
      for (let i = 0; i < texts.length; i++) {
        const text = texts[i]!
        const ranges = splitAt(findMatches(pattern, text), text.length, { behavior, inverts })
        if (result.length === 0 && (i > 0 || (ranges[0] ?? 1) > 0)) staysAtStart = false
        for (let at = 0; at < ranges.length; at += 2) result.push(text.slice(ranges[at], ranges[at + 1]))
      }
      return { texts: result, isAtStart: staysAtStart }
    },
  }
}

function createByteLevel(config: JsonObject): Part {
  const addsPrefix = readBoolean(config, 'add_prefix_space') ?? true
  const usesRegex = readBoolean(config, 'use_regex') ?? true
  const words = usesRegex ? splitBy(compileOniguruma(gpt2Pattern), 'Isolated').step : (pieces: Pieces) => pieces
  const prefixed = ({ texts, isAtStart }: Pieces): Pieces => ({
    texts: texts.map((text) => (text.startsWith(' ') ? text : ` ${text}`)),
    isAtStart,
  })
  return {
    step: (pieces) => words(addsPrefix ? prefixed(pieces) : pieces),
    finish: toByteChars,
    isPredictable: true,
  }
}

function createMetaspace(config: JsonObject): Step {
  const mark = readString(config, 'replacement') ?? '\u2581'
  if (Array.from(mark).length !== 1) return malformed('pre_tokenizer.replacement', 'one character', mark)
  const isOld = readBoolean(config, 'add_prefix_space') === false
  const stated = readString(config, 'prepend_scheme')
  const scheme = stated ?? (isOld ? 'never' : 'always')
  if (!['first', 'always', 'never'].includes(scheme) || (isOld && scheme !== 'never'))
    return malformed('pre_tokenizer.prepend_scheme', 'first, always or never, and agree with add_prefix_space', scheme)
  const splits = readBoolean(config, 'split') ?? true
  const words = splitBy(compilePattern({ pattern: { String: mark } }), 'MergedWithNext').step
  return ({ texts, isAtStart }) => {
    const marked = texts.map((text, i) => {
      const replaced = text.replaceAll(' ', mark)
      const isPrefixed = scheme === 'always' || (scheme === 'first' && i === 0 && isAtStart)
      return isPrefixed && !replaced.startsWith(mark) ? mark + replaced : replaced
    })
    const pieces = { texts: marked, isAtStart }
    return splits ? words(pieces) : pieces
  }
}
