import { TokenizerError } from '@octavo/core'
import { ggufPreTokenizerName, type TokenizerFiles } from '@octavo/core/loading'
import { bool, text, texts, uint32, type GgufValue } from './gguf-value.ts'

/** `llama_token_type` of llama.cpp. */
const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const

/** SentencePiece would join two tokens to one that no merge makes: last of all. */
const unmergedScore = -1e9

export interface TokenizerSource extends TokenizerFiles {
  /** Rows of the embedding: tokens that it has more than the tokenizer are named `[PAD<id>]`. */
  readonly vocabSize: number
  /** Tokens that end a turn, the main one first. */
  readonly eosTokenIds: readonly number[]
  readonly file: string
}

type Json = Readonly<Record<string, unknown>>

interface Vocabulary {
  readonly tokens: readonly string[]
  readonly types: readonly number[]
  readonly idOf: ReadonlyMap<string, number>
}

/**
 * `tokenizer.*` keys of a tokenizer.json: byte-level BPE ("gpt2") and SentencePiece BPE ("llama"), the inverse of core's
 * `gguf-tokenizer.ts`.
 * @throws TokenizerError for other kinds, and for splitting rules that llama.cpp has no name for
 */
export function tokenizerMetadata(source: TokenizerSource): Map<string, GgufValue> {
  const { tokenizerJson, chatTemplate, namedTemplates, file } = source
  const model = objectOf(tokenizerJson['model'])
  if (model['type'] !== 'BPE')
    throw new TokenizerError(
      `${file}: a tokenizer of the kind ${JSON.stringify(model['type'] ?? null)} can't be written to GGUF; BPE, byte-level or with byte fallback, can.`,
    )
  const isSentencePiece = model['byte_fallback'] === true
  const vocabulary = readVocabulary(source, isSentencePiece)
  const { tokens, types } = vocabulary
  const entries = new Map<string, GgufValue>([
    ['tokenizer.ggml.model', text(isSentencePiece ? 'llama' : 'gpt2')],
    ['tokenizer.ggml.pre', text(isSentencePiece ? 'default' : preTokenizerName(tokenizerJson, file))],
    ['tokenizer.ggml.tokens', texts(tokens)],
    ['tokenizer.ggml.token_type', { type: 'array', of: 'int32', values: types }],
  ])
  const merges = mergesOf(model)
  if (isSentencePiece) {
    entries.set('tokenizer.ggml.scores', { type: 'array', of: 'float32', values: scoresOf(vocabulary, merges) })
    entries.set('tokenizer.ggml.add_space_prefix', bool(hasSpacePrefix(tokenizerJson)))
  } else entries.set('tokenizer.ggml.merges', texts(merges.map(([left, right]) => `${left} ${right}`)))
  for (const [key, id] of specialIds(source, vocabulary)) entries.set(`tokenizer.ggml.${key}_token_id`, uint32(id))
  for (const [key, value] of addedAround(tokenizerJson, entries)) entries.set(key, bool(value))
  if (chatTemplate !== null) entries.set('tokenizer.chat_template', text(chatTemplate))
  if (namedTemplates.size > 0) entries.set('tokenizer.chat_templates', texts([...namedTemplates.keys()]))
  for (const [name, template] of namedTemplates) entries.set(`tokenizer.chat_template.${name}`, text(template))
  return entries
}

function preTokenizerName(tokenizerJson: Json, file: string): string {
  const name = ggufPreTokenizerName(tokenizerJson)
  if (name !== null) return name
  const rules = JSON.stringify(tokenizerJson['pre_tokenizer'] ?? null).slice(0, 200)
  throw new TokenizerError(
    `${file}: llama.cpp has no name that Octavo knows for this tokenizer's way to split text into words (${rules}), so that a GGUF file could not say it.`,
  )
}

function readVocabulary({ tokenizerJson, vocabSize, file }: TokenizerSource, isSentencePiece: boolean): Vocabulary {
  const tokens: string[] = []
  const types: number[] = []
  const model = objectOf(tokenizerJson['model'])
  for (const [token, id] of Object.entries(objectOf(model['vocab']))) {
    tokens[Number(id)] = token
    types[Number(id)] = isSentencePiece && /^<0x[0-9A-F]{2}>$/.test(token) ? tokenTypes.byte : tokenTypes.normal
  }
  const unknown = model['unk_token']
  for (const value of listOf(tokenizerJson['added_tokens'])) {
    const { id, content, special } = objectOf(value)
    if (typeof id !== 'number' || typeof content !== 'string') continue
    tokens[id] = content
    types[id] =
      isSentencePiece && content === unknown
        ? tokenTypes.unknown
        : special === true
          ? tokenTypes.control
          : tokenTypes.userDefined
  }
  if (tokens.length > vocabSize)
    throw new TokenizerError(
      `${file}: the tokenizer has ids up to ${tokens.length - 1}, but the embedding has ${vocabSize} rows; llama.cpp wants as many tokens as rows.`,
    )
  for (let id = 0; id < vocabSize; id++) {
    if (tokens[id] !== undefined) continue
    tokens[id] = `[PAD${id}]`
    types[id] = tokenTypes.unused
  }
  return { tokens, types, idOf: new Map(tokens.map((token, id) => [token, id])) }
}

function mergesOf(model: Json): [string, string][] {
  return listOf(model['merges']).map((merge): [string, string] => {
    if (Array.isArray(merge)) return [String(merge[0]), String(merge[1])]
    const line = String(merge)
    const space = line.indexOf(' ')
    return [line.slice(0, space), line.slice(space + 1)]
  })
}

/** A token's score is its first merge's rank: SentencePiece joins the neighbours of the best one first. */
function scoresOf({ tokens }: Vocabulary, merges: readonly [string, string][]): Float32Array {
  const ranks = new Map<string, number>()
  for (const [rank, [left, right]] of merges.entries()) {
    const token = left + right
    if (!ranks.has(token)) ranks.set(token, rank)
  }
  return Float32Array.from(tokens, (token) => {
    const rank = ranks.get(token)
    return rank === undefined ? unmergedScore : -rank
  })
}

/** Whether a space is put before the text: by the normalizer, or by the words' own splitter. */
function hasSpacePrefix({ normalizer, pre_tokenizer: preTokenizer }: Json): boolean {
  const steps = [normalizer, preTokenizer].flatMap((step) => {
    const { type, normalizers, pretokenizers } = objectOf(step)
    return type === 'Sequence' ? [...listOf(normalizers), ...listOf(pretokenizers)] : [step]
  })
  return steps.some((step) => {
    const { type, prepend_scheme: scheme, add_prefix_space: adds } = objectOf(step)
    return type === 'Prepend' || (type === 'Metaspace' && (scheme ?? (adds === false ? 'never' : 'always')) !== 'never')
  })
}

function* specialIds(source: TokenizerSource, { idOf }: Vocabulary): Generator<[key: string, id: number]> {
  const { tokenizerConfig, tokenizerJson, eosTokenIds } = source
  const named = (key: string): number | null => {
    const value = tokenizerConfig[key]
    const content = typeof value === 'string' ? value : objectOf(value)['content']
    return typeof content === 'string' ? (idOf.get(content) ?? null) : null
  }
  const unknown = objectOf(tokenizerJson['model'])['unk_token']
  const unknownId = named('unk_token') ?? (typeof unknown === 'string' ? (idOf.get(unknown) ?? null) : null)
  const [eos = named('eos_token'), ...others] = eosTokenIds
  const ids: [string, number | null | undefined][] = [
    ['bos', named('bos_token')],
    ['eos', eos],
    ['eot', others[0]],
    ['eom', others[1]],
    ['unknown', unknownId],
    ['padding', named('pad_token')],
  ]
  for (const [key, id] of ids) if (id !== null && id !== undefined) yield [key, id]
}

/** Which special tokens the post-processor puts around a text. */
function* addedAround(
  { post_processor: processor }: Json,
  entries: ReadonlyMap<string, GgufValue>,
): Generator<[string, boolean]> {
  const processors = [processor, ...listOf(objectOf(processor)['processors'])]
  const template = processors.map(objectOf).find(({ type }) => type === 'TemplateProcessing')
  const parts = listOf(template?.['single']).map(objectOf)
  const text = parts.findIndex((part) => part['Sequence'] !== undefined)
  const isSpecial = (part: Json): boolean => part['SpecialToken'] !== undefined
  for (const [key, around] of [
    ['bos', parts.slice(0, Math.max(text, 0))],
    ['eos', parts.slice(text + 1)],
  ] as const)
    yield [`tokenizer.ggml.add_${key}_token`, around.some(isSpecial) && entries.has(`tokenizer.ggml.${key}_token_id`)]
}

function objectOf(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {}
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
