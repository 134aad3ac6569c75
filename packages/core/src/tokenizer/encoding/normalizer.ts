import { TokenizerError } from '../../errors.ts'
import type { JsonObject } from '../../util/json-object.ts'
import { toByteChars } from '../byte-level.ts'
import { compilePattern, findMatches, type Pattern } from '../oniguruma.ts'
import { malformed, readBoolean, readString, requireObjects } from '../read-json.ts'
import { createCharsmap } from './charsmap.ts'
import {
  combiningMarks,
  controls,
  ideographs,
  nmtControls,
  nonspacingMarks,
  notYetDecomposed,
  whitespace,
} from './unicode-sets.ts'

export interface Normalizer {
  normalize(text: string): string
  /** Whether the text's first character leaves anything at the beginning. */
  keepsStart(text: string): boolean
  /** Whether patterns can make it slow. */
  readonly isPredictable: boolean
}

type Step = (text: string) => string
interface Part {
  readonly step: Step
  readonly isPredictable: boolean
  /** How many times longer a text can become. */
  readonly growth: number
}

const maxParts = 64
const maxDepth = 16
const maxContentLength = 1024
const maxGrowth = 64
const maxNormalizedLength = 2 ** 27

/**
 * The `normalizer` section of tokenizer.json, as Rust's `tokenizers` runs it.
 * @throws TokenizerError naming a part that is unknown, or that would make texts grow without bound
 */
export function createNormalizer(config: JsonObject | null): Normalizer {
  const parts = config === null ? [] : flatten(config, 0).map(createPart)
  if (parts.length > maxParts)
    throw new TokenizerError(`tokenizer.json has ${parts.length} normalizers; at most ${maxParts} are allowed.`)
  const growth = parts.reduce((product, part) => product * part.growth, 1)
  if (growth > maxGrowth) {
    throw new TokenizerError(
      `tokenizer.json's normalizers (Replace) can make a text ${growth} times longer; at most ${maxGrowth} times is allowed.`,
    )
  }
  const normalize = (text: string): string =>
    parts.reduce((result, { step }) => requireNormalizedLength(step(result)), text)
  return {
    isPredictable: parts.every(({ isPredictable }) => isPredictable),
    normalize,
    keepsStart: (text) => normalize(`${String.fromCodePoint(text.codePointAt(0) ?? 0)}a`) !== normalize('a'),
  }
}

function requireNormalizedLength(text: string): string {
  if (text.length <= maxNormalizedLength) return text
  throw new TokenizerError(
    `The text has ${text.length} characters once normalized; at most ${maxNormalizedLength} are allowed. Shorten it.`,
  )
}

function flatten(config: JsonObject, depth: number): JsonObject[] {
  if (depth > maxDepth) throw new TokenizerError(`tokenizer.json nests normalizers deeper than ${maxDepth}.`)
  if (readString(config, 'type') !== 'Sequence') return [config]
  return requireObjects(config, 'normalizers').flatMap((part) => flatten(part, depth + 1))
}

function createPart(config: JsonObject): Part {
  if (readString(config, 'type') === 'Replace') return createReplace(config)
  return { step: createStep(config), isPredictable: true, growth: 1 }
}

function createStep(config: JsonObject): Step {
  const type = readString(config, 'type')
  switch (type) {
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return (text) => normalizeUnicode(text, type)
    case 'Lowercase':
      return lowercase
    case 'Strip':
      return createStrip(readBoolean(config, 'strip_left') ?? true, readBoolean(config, 'strip_right') ?? true)
    case 'StripAccents':
      return (text) => text.replace(combiningMark, '')
    case 'BertNormalizer':
      return createBertNormalizer(config)
    case 'Nmt':
      return (text) => text.replace(nmtRemoved, '').replace(nmtSpaces, ' ')
    case 'Precompiled':
      return createCharsmap(readString(config, 'precompiled_charsmap') ?? '')
    case 'Prepend': {
      const prefix = requireContent(readString(config, 'prepend'), 'Prepend')
      return (text) => (text === '' ? '' : prefix + text)
    }
    case 'ByteLevel':
      return toByteChars
    default:
      return malformed('normalizer.type', 'a known normalizer', type)
  }
}

function requireContent(content: string | null, type: string): string {
  if (content !== null && content.length <= maxContentLength) return content
  throw new TokenizerError(
    `tokenizer.json: the normalizer ${type} has a content of ${content?.length ?? 'no'} characters; at most ${maxContentLength} are allowed.`,
  )
}

function createReplace(config: JsonObject): Part {
  const pattern = compilePattern(config)
  const content = requireContent(readString(config, 'content'), 'Replace')
  return {
    step: createReplaceStep(pattern, content),
    isPredictable: pattern.isPredictable,
    growth: Math.max(1, Math.ceil(content.length / Math.max(1, pattern.literal?.length ?? 1))),
  }
}

function createReplaceStep(pattern: Pattern, content: string): Step {
  const { literal } = pattern
  if (literal !== null && literal !== '') return (text) => text.replaceAll(literal, () => content)
  return (text) => {
    const found = findMatches(pattern, text)
    if (found.length === 0) return text
    const pieces: string[] = []
    let at = 0
    for (let i = 0; i < found.length; i += 2) {
      pieces.push(text.slice(at, found[i]), content)
      at = found[i + 1]!
    }
    pieces.push(text.slice(at))
    return pieces.join('')
  }
}

const combiningMark = new RegExp(`[${combiningMarks}]`, 'gu')
const nonspacingMark = new RegExp(`[${nonspacingMarks}]`, 'gu')
const control = new RegExp(`[\\0\\ufffd${controls}]`, 'gu')
const ideograph = new RegExp(`[${ideographs}]`, 'gu')
const space = new RegExp(`[${whitespace}]`, 'gu')
const laterDecomposed = new RegExp(`([${notYetDecomposed}])`, 'u')
const nmtRemoved = new RegExp(`[${nmtControls}]`, 'gu')
const nmtSpaces = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g

/** Characters that the library's Unicode does not decompose yet stand for themselves, and nothing joins over them. */
function normalizeUnicode(text: string, form: 'NFC' | 'NFD' | 'NFKC' | 'NFKD'): string {
  if (/^[\0-\x7f]*$/.test(text)) return text
  if (!laterDecomposed.test(text)) return text.normalize(form)
  return text
    .split(laterDecomposed)
    .map((part, i) => (i % 2 === 1 ? part : part.normalize(form)))
    .join('')
}

/** Character by character: a sigma at a word's end is a sigma. */
export function lowercase(text: string): string {
  return text.replaceAll('\u03a3', '\u03c3').toLowerCase()
}

function createStrip(left: boolean, right: boolean): Step {
  const start = new RegExp(`^[${whitespace}]+`, 'u')
  const isSpace = new RegExp(`[${whitespace}]`, 'u')
  return (text) => {
    const from = left ? (start.exec(text)?.[0].length ?? 0) : 0
    let to = text.length
    if (right) while (to > from && isSpace.test(text[to - 1]!)) to--
    return text.slice(from, to)
  }
}

function createBertNormalizer(config: JsonObject): Step {
  const lowercases = readBoolean(config, 'lowercase') ?? true
  const stripsAccents = readBoolean(config, 'strip_accents') ?? lowercases
  const cleans = readBoolean(config, 'clean_text') ?? true
  const spacesIdeographs = readBoolean(config, 'handle_chinese_chars') ?? true
  return (text) => {
    let result = text
    if (cleans) result = result.replace(control, '').replace(space, ' ')
    if (spacesIdeographs) result = result.replace(ideograph, ' $& ')
    if (stripsAccents) result = normalizeUnicode(result, 'NFD').replace(nonspacingMark, '')
    return lowercases ? lowercase(result) : result
  }
}
