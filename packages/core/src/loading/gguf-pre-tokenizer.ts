import { TokenizerError } from '../errors.ts'
import { isJsonObject } from '../util/json-object.ts'

/** How a byte-level BPE vocabulary splits text into words before merging, in tokenizer.json's terms. */
export interface GgufPreTokenizer {
  readonly normalizer: Record<string, unknown> | null
  readonly preTokenizer: Record<string, unknown>
  /** Whether a word that is a token as a whole is taken without looking at the merges. */
  readonly ignoresMerges: boolean
}

/** Patterns of the tokenizers that llama.cpp names in `tokenizer.ggml.pre` (its `llama-vocab.cpp`). */
const patterns = {
  llama3:
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  qwen2:
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  gpt4o:
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  tekken:
    '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
} as const

const gpt2Words = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
const bytesOnly = { ...gpt2Words, use_regex: false }
const gpt2: GgufPreTokenizer = { normalizer: null, preTokenizer: gpt2Words, ignoresMerges: false }
const digits: GgufPreTokenizer = {
  ...gpt2,
  preTokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: true }, gpt2Words] },
}
const qwen2: GgufPreTokenizer = { ...splitBy(patterns.qwen2), normalizer: { type: 'NFC' } }

const known: Readonly<Record<string, GgufPreTokenizer>> = {
  default: gpt2,
  'gpt-2': gpt2,
  'phi-2': gpt2,
  olmo: gpt2,
  mpt: gpt2,
  smollm: digits,
  starcoder: digits,
  refact: digits,
  'command-r': digits,
  'llama-bpe': { ...splitBy(patterns.llama3), ignoresMerges: true },
  dbrx: splitBy(patterns.llama3),
  olmo2: splitBy(patterns.llama3),
  qwen2,
  'deepseek-r1-qwen': qwen2,
  'gpt-4o': splitBy(patterns.gpt4o),
  tekken: { ...splitBy(patterns.tekken), ignoresMerges: true },
}

function splitBy(pattern: string): GgufPreTokenizer {
  const split = { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false }
  return {
    normalizer: null,
    preTokenizer: { type: 'Sequence', pretokenizers: [split, bytesOnly] },
    ignoresMerges: false,
  }
}

/** @param pre `tokenizer.ggml.pre`; absent in old files, which llama.cpp reads as GPT-2's */
export function preTokenizerOf(pre: unknown): GgufPreTokenizer {
  const name = pre ?? 'default'
  const found = typeof name === 'string' && Object.hasOwn(known, name) ? known[name] : undefined
  if (found !== undefined) return found
  throw new TokenizerError(
    `tokenizer.ggml.pre is ${JSON.stringify(pre)}; known are ${Object.keys(known).join(', ')}. Use the checkpoint in Hugging Face format instead.`,
  )
}

/**
 * What llama.cpp calls this tokenizer.json's way to split text into words, the inverse of `preTokenizerOf`; `null` for one that
 * has no name here. Names that differ in the normalizer alone count where none is the same: llama.cpp normalizes nothing.
 */
export function ggufPreTokenizerName(tokenizerJson: Readonly<Record<string, unknown>>): string | null {
  const { normalizer, pre_tokenizer: preTokenizer, model } = tokenizerJson
  const ignoresMerges = isJsonObject(model) && model['ignore_merges'] === true
  const words = JSON.stringify(wordRules(preTokenizer))
  const found = Object.entries(known).filter(
    ([, entry]) => entry.ignoresMerges === ignoresMerges && JSON.stringify(wordRules(entry.preTokenizer)) === words,
  )
  const exact = found.find(([, entry]) => JSON.stringify(entry.normalizer) === JSON.stringify(normalizer ?? null))
  return (exact ?? found[0])?.[0] ?? null
}

/** What of a pre-tokenizer decides where words end. */
function wordRules(preTokenizer: unknown): unknown[] {
  if (!isJsonObject(preTokenizer)) return [preTokenizer]
  const { type, pretokenizers, pattern, behavior, invert, individual_digits: isIndividual } = preTokenizer
  switch (type) {
    case 'Sequence':
      return Array.isArray(pretokenizers) ? pretokenizers.flatMap(wordRules) : [preTokenizer]
    case 'Split':
      return [type, pattern, behavior, invert ?? false]
    case 'Digits':
      return [type, isIndividual ?? false]
    case 'ByteLevel':
      return [type, preTokenizer['add_prefix_space'] ?? true, preTokenizer['use_regex'] ?? true]
    default:
      return [preTokenizer]
  }
}
