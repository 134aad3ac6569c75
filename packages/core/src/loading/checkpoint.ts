import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { CheckpointError } from '../errors.ts'
import { isJsonObject, type JsonObject } from '../util/json-object.ts'
import { groupGguf } from './gguf-model.ts'
import { readJsonFile, readTextFile } from './json-file.ts'
import { findQuantization, type QuantizationSection } from './quantization-section.ts'
import { openSafetensors } from './safetensors.ts'
import { readSentenceTransformers, type SentenceTransformers } from './sentence-transformers.ts'
import type { TokenizerFiles } from './tokenizer-files.ts'
import type { WeightSource } from './weight-source.ts'

const maxConfigBytes = 8 * 1024 * 1024
const maxTokenizerBytes = 256 * 1024 * 1024
const maxTemplateBytes = 1024 * 1024

/** A model's files, parsed but not yet believed: what the fields mean is for the config parser, the tokenizer and the models. */
export interface Checkpoint {
  /** The folder or the .gguf file. */
  readonly path: string
  /** config.json, or the same keys rebuilt from GGUF metadata. */
  readonly config: Record<string, unknown>
  readonly generationConfig: Record<string, unknown> | null
  /** How the weights are quantized; `null` where no file says that they are, and for GGUF, whose tensors say it themselves. */
  readonly quantization: QuantizationSection | null
  /** How a checkpoint of sentence-transformers makes a vector of a text; nothing of it where there are no such files. */
  readonly sentenceTransformers: SentenceTransformers
  /** Reads the tokenizer's files, which only the front thread needs. Throws CheckpointError or TokenizerError. */
  readTokenizer(): TokenizerFiles
  /** Opens the weight files; the caller closes the source. */
  openWeights(): WeightSource
}

/**
 * Reads the small files of a checkpoint: a folder in Hugging Face's layout, a folder with one .gguf file, or a .gguf file.
 * Throws CheckpointError naming the file that is missing, too large or malformed.
 */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat === undefined) throw new CheckpointError(path, 'does not exist')
  // Of a split file any part will do.
  if (!stat.isDirectory()) return openGgufCheckpoint(groupGguf([path])[0]?.parts[0] ?? path)
  const config = readJsonFile(join(path, 'config.json'), maxConfigBytes)
  if (config !== null) return openFolder(path, config)
  const ggufFiles = readdirSync(path).filter((name) => name.endsWith('.gguf'))
  const [only, ...others] = groupGguf(ggufFiles)
  if (only !== undefined && others.length === 0) return openGgufCheckpoint(join(path, only.parts[0]))
  const found =
    ggufFiles.length === 0
      ? ''
      : `; it has ${ggufFiles.length} .gguf files (${ggufFiles.slice(0, 5).join(', ')}): name one of them`
  throw new CheckpointError(path, `has no config.json${found}`)
}

function openFolder(path: string, config: JsonObject): Checkpoint {
  const sentenceTransformers = readSentenceTransformers(path)
  return {
    path,
    config,
    generationConfig: readJsonFile(join(path, 'generation_config.json'), maxConfigBytes),
    quantization: findQuantization(path, config),
    sentenceTransformers,
    readTokenizer: () => readTokenizerFiles(path, sentenceTransformers),
    openWeights: () => openSafetensors(path),
  }
}

function readTokenizerFiles(path: string, { isLowerCase }: SentenceTransformers): TokenizerFiles {
  const tokenizerJson = readJsonFile(join(path, 'tokenizer.json'), maxTokenizerBytes)
  if (tokenizerJson === null) {
    const reason =
      'has no tokenizer.json. Checkpoints with only tokenizer.model or vocab files must be saved once with transformers (AutoTokenizer.save_pretrained)'
    throw new CheckpointError(path, reason)
  }
  const tokenizerConfig = readTokenizerConfig(path)
  return {
    tokenizerJson: isLowerCase ? lowerCase(tokenizerJson) : tokenizerJson,
    tokenizerConfig,
    ...readChatTemplates(path, tokenizerConfig),
  }
}

/** Texts are made lower case before anything else. */
function lowerCase(tokenizerJson: JsonObject): JsonObject {
  const normalizers = [{ type: 'Lowercase' }, tokenizerJson['normalizer']].filter(isJsonObject)
  return { ...tokenizerJson, normalizer: { type: 'Sequence', normalizers } }
}

/** tokenizer_config.json; special tokens that only the older special_tokens_map.json names are filled in. */
function readTokenizerConfig(path: string): JsonObject {
  const config = readJsonFile(join(path, 'tokenizer_config.json'), maxConfigBytes) ?? {}
  const specialTokens = readJsonFile(join(path, 'special_tokens_map.json'), maxConfigBytes) ?? {}
  const merged: JsonObject = { ...config }
  for (const key of ['bos_token', 'eos_token', 'unk_token', 'pad_token']) {
    if (merged[key] === undefined && specialTokens[key] !== undefined) merged[key] = specialTokens[key]
  }
  return merged
}

interface ChatTemplateFiles {
  readonly chatTemplate: string | null
  readonly namedTemplates: ReadonlyMap<string, string>
}

/** chat_template.jinja, else the older chat_template.json, else tokenizer_config.json's entry; and those of other names. */
function readChatTemplates(path: string, tokenizerConfig: JsonObject): ChatTemplateFiles {
  const additional = readAdditionalTemplates(join(path, 'additional_chat_templates'))
  const jinja = readTextFile(join(path, 'chat_template.jinja'), maxTemplateBytes)
  if (jinja !== null) return { chatTemplate: jinja, namedTemplates: additional }
  const json = readJsonFile(join(path, 'chat_template.json'), maxTemplateBytes)
  const { chatTemplate, namedTemplates } =
    json === null
      ? selectTemplates(tokenizerConfig['chat_template'], join(path, 'tokenizer_config.json'))
      : selectTemplates(json['chat_template'], join(path, 'chat_template.json'))
  return { chatTemplate, namedTemplates: new Map([...namedTemplates, ...additional]) }
}

function readAdditionalTemplates(folder: string): ReadonlyMap<string, string> {
  const templates = new Map<string, string>()
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) return templates
  for (const file of readdirSync(folder)) {
    const text = file.endsWith('.jinja') ? readTextFile(join(folder, file), maxTemplateBytes) : null
    if (text !== null) templates.set(file.slice(0, -'.jinja'.length), text)
  }
  return templates
}

/** A template is a string, or a list of `{ name, template }` of which "default" (or the only one) is the default. */
function selectTemplates(value: unknown, file: string): ChatTemplateFiles {
  const templates = new Map<string, string>()
  if (value === undefined || value === null || typeof value === 'string')
    return { chatTemplate: value ?? null, namedTemplates: templates }
  if (!Array.isArray(value))
    throw new CheckpointError(file, '"chat_template" must be a string or a list of { name, template }')
  const entries: unknown[] = value
  for (const entry of entries) {
    if (!isJsonObject(entry) || typeof entry['name'] !== 'string' || typeof entry['template'] !== 'string') {
      throw new CheckpointError(file, 'an entry of "chat_template" is not { name, template }')
    }
    templates.set(entry['name'], entry['template'])
  }
  const [only] = templates.values()
  const chatTemplate = templates.get('default') ?? (templates.size === 1 ? (only ?? null) : null)
  return { chatTemplate, namedTemplates: templates }
}

async function openGgufCheckpoint(path: string): Promise<Checkpoint> {
  // Most checkpoints are no GGUF files: they never load this code.
  const [{ openGguf }, { ggufConfig, ggufGenerationConfig, ggufSentenceTransformers }, { tokenizerFromGguf }] =
    await Promise.all([import('./gguf.ts'), import('./gguf-config.ts'), import('./gguf-tokenizer.ts')])
  const model = openGguf(path)
  try {
    const { metadata } = model
    return {
      path,
      config: ggufConfig(model),
      generationConfig: ggufGenerationConfig(metadata),
      quantization: model.hasBlocksToConvert ? { file: path, method: 'gguf', json: {} } : null,
      sentenceTransformers: ggufSentenceTransformers(model),
      readTokenizer: () => tokenizerFromGguf(metadata),
      openWeights: () => model.reopen(),
    }
  } finally {
    model.weights.close()
  }
}
