import { TokenizerError } from '../errors.ts'
import { isJsonObject, type JsonObject } from '../util/json-object.ts'
import { malformed, readArray, readInteger, readObject, readString, requireObjects } from './read-json.ts'

type TemplateItem =
  | { readonly kind: 'sequence'; readonly which: 'A' | 'B'; readonly typeId: number }
  | { readonly kind: 'special'; readonly ids: readonly number[]; readonly typeId: number }

/** What is put around one text, or around and between two. */
export interface PostProcessor {
  readonly single: readonly TemplateItem[]
  readonly pair: readonly TemplateItem[]
}

const sequenceA: TemplateItem = { kind: 'sequence', which: 'A', typeId: 0 }
const sequenceB: TemplateItem = { kind: 'sequence', which: 'B', typeId: 1 }
const noPostProcessor: PostProcessor = { single: [sequenceA], pair: [sequenceA, sequenceB] }

/** The `post_processor` section of tokenizer.json. */
export function createPostProcessor(config: JsonObject | null): PostProcessor {
  if (config === null) return noPostProcessor
  const type = readString(config, 'type')
  switch (type) {
    case 'ByteLevel': // trims offsets, which we do not keep
      return noPostProcessor
    case 'TemplateProcessing':
      return readTemplate(config)
    case 'BertProcessing':
    case 'RobertaProcessing': {
      const cls: TemplateItem = { kind: 'special', ids: [readTokenPair(config, 'cls')], typeId: 0 }
      const sep: TemplateItem = { kind: 'special', ids: [readTokenPair(config, 'sep')], typeId: 0 }
      const single = [cls, sequenceA, sep]
      // Unlike BERT, RoBERTa separates by two tokens and has one token type.
      if (type === 'RobertaProcessing') return { single, pair: [...single, sep, { ...sequenceB, typeId: 0 }, sep] }
      return { single, pair: [...single, sequenceB, { ...sep, typeId: 1 }] }
    }
    case 'Sequence': {
      const stages = requireObjects(config, 'processors').filter((stage) => readString(stage, 'type') !== 'ByteLevel')
      if (stages.length > 1)
        throw new TokenizerError(
          `tokenizer.json chains ${stages.length} post-processors that add tokens; only one is supported.`,
        )
      return createPostProcessor(stages[0] ?? null)
    }
    default:
      return malformed('post_processor.type', 'a known post-processor', type)
  }
}

/** BOS before and EOS after each text, as the Llama and Gemma tokenizer classes build it from `add_bos_token` and `add_eos_token`. */
export function createBosEosProcessor(bosId: number | null, eosId: number | null): PostProcessor {
  const around = (sequence: TemplateItem): TemplateItem[] => [
    ...(bosId === null ? [] : [{ kind: 'special', ids: [bosId], typeId: sequence.typeId } as const]),
    sequence,
    ...(eosId === null ? [] : [{ kind: 'special', ids: [eosId], typeId: sequence.typeId } as const]),
  ]
  return { single: around(sequenceA), pair: [...around(sequenceA), ...around(sequenceB)] }
}

/** `pair: null` for one text. */
export function applyPostProcessor(
  processor: PostProcessor,
  {
    ids,
    pairIds,
    addSpecialTokens,
  }: { ids: readonly number[]; pairIds: readonly number[] | null; addSpecialTokens: boolean },
): { ids: number[]; typeIds: number[] } {
  const items = (pairIds === null ? processor.single : processor.pair).filter(
    ({ kind }) => kind === 'sequence' || addSpecialTokens,
  )
  const parts = items.map((item) => (item.kind === 'special' ? item.ids : item.which === 'A' ? ids : (pairIds ?? [])))
  return {
    ids: parts.flat(),
    typeIds: items.flatMap(({ typeId }, i) => new Array<number>(parts[i]!.length).fill(typeId)),
  }
}

function readTemplate(config: JsonObject): PostProcessor {
  const special = readObject(config, 'special_tokens') ?? {}
  const read = (name: string): TemplateItem[] =>
    requireObjects(config, name).map((item) => readTemplateItem(item, special))
  const pair = read('pair')
  return { single: read('single'), pair: pair.length > 0 ? pair : noPostProcessor.pair }
}

function readTemplateItem(item: JsonObject, special: JsonObject): TemplateItem {
  const sequence = readObject(item, 'Sequence')
  if (sequence !== null) {
    return {
      kind: 'sequence',
      which: readString(sequence, 'id') === 'B' ? 'B' : 'A',
      typeId: readInteger(sequence, 'type_id') ?? 0,
    }
  }
  const token =
    readObject(item, 'SpecialToken') ?? malformed('post_processor.single', 'a list of Sequence and SpecialToken', item)
  const name = readString(token, 'id') ?? ''
  const ids = readArray(readObject(special, name) ?? {}, 'ids')
  if (ids === null || !ids.every((id) => typeof id === 'number')) {
    throw new TokenizerError(
      `tokenizer.json: post_processor.special_tokens has no ids of ${JSON.stringify(name.slice(0, 40))}.`,
    )
  }
  return { kind: 'special', ids, typeId: readInteger(token, 'type_id') ?? 0 }
}

function readTokenPair(config: JsonObject, name: string): number {
  const id: unknown = readArray(config, name)?.[1]
  return typeof id === 'number' && !isJsonObject(id)
    ? id
    : malformed(`post_processor.${name}`, 'a pair of token and id', id)
}
