import { TokenizerError } from '../errors.ts'
import { preTokenizerOf } from './gguf-pre-tokenizer.ts'
import type { TokenizerFiles } from './tokenizer-files.ts'

type Metadata = Readonly<Record<string, unknown>>

/** `llama_token_type` of llama.cpp. */
const tokenTypes = { control: 3, userDefined: 4 } as const
const maxTokens = 2 ** 21
const spaceMark = '\u2581'

/**
 * Rebuilds tokenizer.json from GGUF metadata: byte-level BPE (`tokenizer.ggml.model` "gpt2") and SentencePiece BPE
 * ("llama"), as transformers' converters write them.
 * @throws TokenizerError naming the key that is missing, malformed or of an unknown kind
 */
export function tokenizerFromGguf(metadata: Metadata): TokenizerFiles {
  const tokens = readStrings(metadata, 'tokenizer.ggml.tokens')
  const types = readNumbers(metadata, 'tokenizer.ggml.token_type', tokens.length)
  const special = specialTokens(metadata, tokens)
  const kind = metadata['tokenizer.ggml.model']
  const model = createModel(kind, { metadata, tokens, unkToken: special.unk_token })
  const addedTokens = tokens.flatMap((content, id) => {
    const isControl = types?.[id] === tokenTypes.control
    if ((!isControl && types?.[id] !== tokenTypes.userDefined) || content === '') return []
    return [{ id, content, special: isControl, single_word: false, lstrip: false, rstrip: false, normalized: false }]
  })
  const chatTemplate = metadata['tokenizer.chat_template']
  return {
    tokenizerJson: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: addedTokens,
      ...model,
      post_processor: postProcessor(metadata, tokens),
    },
    tokenizerConfig: { ...special, clean_up_tokenization_spaces: false },
    chatTemplate: typeof chatTemplate === 'string' ? chatTemplate : null,
    namedTemplates: namedTemplates(metadata),
  }
}

const templatePrefix = 'tokenizer.chat_template.'

function namedTemplates(metadata: Metadata): ReadonlyMap<string, string> {
  const templates = new Map<string, string>()
  for (const [key, value] of Object.entries(metadata)) {
    if (key.startsWith(templatePrefix) && typeof value === 'string')
      templates.set(key.slice(templatePrefix.length), value)
  }
  return templates
}

interface ModelSource {
  readonly metadata: Metadata
  readonly tokens: readonly string[]
  readonly unkToken: string | null
}

function createModel(kind: unknown, source: ModelSource): Record<string, unknown> {
  switch (kind) {
    case 'gpt2':
      return byteLevelBpe(source)
    case 'llama':
      return sentencePieceBpe(source)
    default:
      throw new TokenizerError(
        `tokenizer.ggml.model is ${JSON.stringify(kind)}; GGUF tokenizers of the kinds "gpt2" (byte-level BPE) and "llama" (SentencePiece BPE) are supported. Use the checkpoint in Hugging Face format instead.`,
      )
  }
}

function byteLevelBpe({ metadata, tokens }: ModelSource): Record<string, unknown> {
  const { normalizer, preTokenizer, ignoresMerges } = preTokenizerOf(metadata['tokenizer.ggml.pre'])
  return {
    normalizer,
    pre_tokenizer: preTokenizer,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      vocab: vocabulary(tokens),
      merges: readStrings(metadata, 'tokenizer.ggml.merges'),
      ignore_merges: ignoresMerges,
      byte_fallback: false,
      fuse_unk: false,
      unk_token: null,
    },
  }
}

function sentencePieceBpe({ metadata, tokens, unkToken }: ModelSource): Record<string, unknown> {
  const scores = readNumbers(metadata, 'tokenizer.ggml.scores', tokens.length)
  if (scores === null)
    throw new TokenizerError(
      'tokenizer.ggml.scores is missing: a SentencePiece vocabulary needs the scores of its tokens.',
    )
  const hasSpacePrefix = metadata['tokenizer.ggml.add_space_prefix'] !== false
  const toMarks = { type: 'Replace', pattern: { String: ' ' }, content: spaceMark }
  const fromMarks = { type: 'Replace', pattern: { String: spaceMark }, content: ' ' }
  const strip = { type: 'Strip', content: ' ', start: 1, stop: 0 }
  return {
    normalizer: hasSpacePrefix
      ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: spaceMark }, toMarks] }
      : toMarks,
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [fromMarks, { type: 'ByteFallback' }, { type: 'Fuse' }, ...(hasSpacePrefix ? [strip] : [])],
    },
    model: {
      type: 'BPE',
      vocab: vocabulary(tokens),
      ...mergesOf(tokens, scores),
      byte_fallback: true,
      fuse_unk: true,
      ignore_merges: false,
      unk_token: unkToken,
    },
  }
}

/**
 * SentencePiece joins the neighbours whose whole has the best score, and of equal ones the leftmost, as llama.cpp does:
 * every split of a token into two tokens, whose rank is that of the score.
 */
function mergesOf(
  tokens: readonly string[],
  scores: ArrayLike<number>,
): { merges: [string, string][]; merge_ranks: number[] } {
  const known = new Set(tokens)
  const found: { readonly pair: [string, string]; readonly score: number }[] = []
  for (const [id, token] of tokens.entries()) {
    const chars = Array.from(token)
    for (let at = 1, offset = 0; at < chars.length; at++) {
      offset += chars[at - 1]!.length
      const pair: [string, string] = [token.slice(0, offset), token.slice(offset)]
      if (pair.every((part) => known.has(part))) found.push({ pair, score: scores[id]! })
    }
  }
  found.sort((a, b) => b.score - a.score)
  let rank = -1
  return {
    merges: found.map(({ pair }) => pair),
    merge_ranks: found.map(({ score }, i) => (score === found[i - 1]?.score ? rank : ++rank)),
  }
}

function postProcessor(metadata: Metadata, tokens: readonly string[]): Record<string, unknown> | null {
  // llama.cpp's defaults where the file does not say.
  const isSentencePiece = metadata['tokenizer.ggml.model'] === 'llama'
  const isLlama3 = metadata['tokenizer.ggml.pre'] === 'llama-bpe'
  const addsBos = metadata['tokenizer.ggml.add_bos_token'] ?? (isSentencePiece || isLlama3)
  const ids = [
    addsBos === true ? metadata['tokenizer.ggml.bos_token_id'] : null,
    metadata['tokenizer.ggml.add_eos_token'] === true ? metadata['tokenizer.ggml.eos_token_id'] : null,
  ]
  const [bos, eos] = ids.map((id) =>
    typeof id === 'number' && tokens[id] !== undefined ? { id, token: tokens[id] } : null,
  )
  if (bos == null && eos == null) return null
  const around = (which: 'A' | 'B', typeId: number): object[] => [
    ...(bos == null ? [] : [{ SpecialToken: { id: bos.token, type_id: typeId } }]),
    { Sequence: { id: which, type_id: typeId } },
    ...(eos == null ? [] : [{ SpecialToken: { id: eos.token, type_id: typeId } }]),
  ]
  const entries = [bos, eos]
    .filter((entry) => entry != null)
    .map(({ id, token }) => [token, { id: token, ids: [id], tokens: [token] }] as const)
  return {
    type: 'TemplateProcessing',
    single: around('A', 0),
    pair: [...around('A', 0), ...around('B', 1)],
    special_tokens: Object.fromEntries(entries),
  }
}

function specialTokens(
  metadata: Metadata,
  tokens: readonly string[],
): Record<'bos_token' | 'eos_token' | 'unk_token' | 'pad_token', string | null> {
  const named = (key: string): string | null => {
    const id = metadata[`tokenizer.ggml.${key}_token_id`]
    return typeof id === 'number' ? (tokens[id] ?? null) : null
  }
  return { bos_token: named('bos'), eos_token: named('eos'), unk_token: named('unknown'), pad_token: named('padding') }
}

/** Without a prototype: a token may be called `__proto__`. */
function vocabulary(tokens: readonly string[]): Record<string, number> {
  const vocab = Object.create(null) as Record<string, number>
  for (const [id, token] of tokens.entries()) vocab[token] ??= id
  return vocab
}

function readStrings(metadata: Metadata, key: string): readonly string[] {
  const value = metadata[key]
  if (!Array.isArray(value) || value.length > maxTokens || !value.every((item) => typeof item === 'string')) {
    throw new TokenizerError(
      `${key} must be an array of at most ${maxTokens} strings; this GGUF file has no usable tokenizer.`,
    )
  }
  return value
}

/** `null` where the key is absent. */
function readNumbers(metadata: Metadata, key: string, length: number): ArrayLike<number> | null {
  const value = metadata[key]
  if (value === undefined) return null
  const numbers: readonly unknown[] = Array.isArray(value)
    ? value
    : ArrayBuffer.isView(value)
      ? Array.from(value as Float32Array)
      : []
  if (numbers.length !== length || !numbers.every((item) => typeof item === 'number')) {
    throw new TokenizerError(`${key} must be an array of ${length} numbers, one for each token.`)
  }
  return numbers
}
