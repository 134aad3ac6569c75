import { UnsupportedModelError } from '../errors.ts'

/**
 * What stands on a model's stack: the head over the vocabulary, nothing, or a classifier of whole texts or of their tokens.
 * The head of a masked language model counts as nothing: such checkpoints serve as embedders.
 */
export type ModelHead = 'tokens' | 'none' | 'classes' | 'token-classes'

export interface Architecture {
  /** Which file of `models/` implements it. */
  readonly model: ModelFile
  readonly head: ModelHead
}

/** Decoders whose classes transformers names alike: `LlamaForCausalLM`, `LlamaModel`, `LlamaForSequenceClassification`. */
const decoders = {
  Llama: 'llama',
  Mistral: 'mistral',
  Mixtral: 'mixtral',
  Qwen2: 'qwen2',
  Qwen3: 'qwen3',
  Qwen3Moe: 'qwen3-moe',
  Gemma2: 'gemma2',
  Gemma3: 'gemma3',
  Phi3: 'phi3',
  GPT2: 'gpt2',
  Olmo2: 'olmo2',
  GptOss: 'gpt-oss',
} as const

const encoders = {
  Bert: 'bert',
  Roberta: 'roberta',
  XLMRoberta: 'roberta',
  DistilBert: 'distilbert',
  ModernBert: 'modernbert',
} as const

export type ModelFile =
  | (typeof decoders)[keyof typeof decoders]
  | (typeof encoders)[keyof typeof encoders]
  | 'nomic-bert'

const classifiers = { ForSequenceClassification: 'classes', ForTokenClassification: 'token-classes' } as const

/** Where a class has another name than its relatives'. */
const otherNames: Readonly<Record<string, string>> = {
  GPT2ForCausalLM: 'GPT2LMHeadModel',
  Gemma3Model: 'Gemma3TextModel',
  Gemma3ForSequenceClassification: 'Gemma3TextForSequenceClassification',
}

const table: ReadonlyMap<string, Architecture> = new Map([
  ...family(decoders, { ForCausalLM: 'tokens', Model: 'none', ...classifiers }),
  // Its text part; the vision tower is left in the file.
  ['Gemma3ForConditionalGeneration', { model: 'gemma3', head: 'tokens' }],
  ...family(encoders, { Model: 'none', ForMaskedLM: 'none', ...classifiers }),
  ['BertForPreTraining', { model: 'bert', head: 'none' }],
  ['NomicBertModel', { model: 'nomic-bert', head: 'none' }],
])

function family(
  models: Readonly<Record<string, ModelFile>>,
  heads: Readonly<Record<string, ModelHead>>,
): [string, Architecture][] {
  return Object.entries(models).flatMap(([prefix, model]) =>
    Object.entries(heads).map(([suffix, head]): [string, Architecture] => {
      const name = prefix + suffix
      return [otherNames[name] ?? name, { model, head }]
    }),
  )
}

/** Hugging Face's names of what `models/registry.ts` has an implementation of. */
export const supportedArchitectures: readonly string[] = [...table.keys()]

/** What the reader of config.json has to know of an architecture from outside (`ModelDefinition`). */
export interface ArchitectureConfig {
  /** Its config.json → the keys of Hugging Face's, where it has others or leaves out what has no default. */
  readConfig?(json: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>
}

/** By the name in `architectures` of config.json. */
export type MoreArchitectures<T extends ArchitectureConfig = ArchitectureConfig> = Readonly<Record<string, T>>

/** `null` for a name that is not in the table, such as that of a model from outside. */
export function findArchitecture(name: string): Architecture | null {
  return table.get(name) ?? null
}

export function isEncoder({ model }: Architecture): boolean {
  return model === 'nomic-bert' || Object.values<ModelFile>(encoders).includes(model)
}

export function unsupportedArchitecture(name: string, file: string, options?: ErrorOptions): UnsupportedModelError {
  const known = supportedArchitectures.filter((other) => !/For(Sequence|Token)Classification$/.test(other))
  return new UnsupportedModelError(
    `${file}: the architecture "${name.slice(0, 200)}" is not supported. Known are ${known.join(', ')}, and their ForSequenceClassification and ForTokenClassification; a module of kind 'model' adds others.`,
    options,
  )
}
