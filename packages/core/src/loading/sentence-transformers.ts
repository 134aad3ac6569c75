import { join } from 'node:path'
import type { DenseConfig, PoolingType } from '../config/pooling-config.ts'
import { CheckpointError, UnsupportedModelError } from '../errors.ts'
import { isJsonObject, type JsonObject } from '../util/json-object.ts'
import { parseJson, readJsonFile, readTextFile } from './json-file.ts'

const maxFileBytes = 1024 * 1024
const maxFeatures = 2 ** 17
const maxDenseLayers = 8
const maxPrompts = 256
const maxSequenceLength = 2 ** 24

/** What the files of sentence-transformers say beside config.json: which vector is the embedding. */
export interface SentenceTransformers {
  /** modules.json, where it pools: without it a checkpoint is no embedder before all else. */
  readonly modules: SentenceModules | null
  /** Texts that are put before others, by name. */
  readonly prompts: Readonly<Record<string, string>>
  /** Tokens of a text at most, special ones included. */
  readonly maxTokens: number | null
  /** Texts are made lower case before they are tokenized. */
  readonly isLowerCase: boolean
}

export const noSentenceTransformers: SentenceTransformers = Object.freeze({
  modules: null,
  prompts: Object.freeze({}),
  maxTokens: null,
  isLowerCase: false,
})

export interface SentenceModules {
  readonly type: PoolingType
  /** Of the rows that are pooled. */
  readonly inFeatures: number | null
  readonly dense: readonly DenseConfig[]
  readonly isNormalized: boolean
}

/**
 * Reads modules.json with the folders that it names, config_sentence_transformers.json and sentence_bert_config.json.
 *
 * @throws CheckpointError for files that are malformed; UnsupportedModelError for modules that Octavo does not have
 */
export function readSentenceTransformers(folder: string): SentenceTransformers {
  const { maxTokens, isLowerCase } = readLimits(folder)
  const file = join(folder, 'modules.json')
  const text = readTextFile(file, maxFileBytes)
  const modules = text === null ? null : readModules(folder, parseJson(text, file))
  const prompts = readPrompts(join(folder, 'config_sentence_transformers.json'))
  if (modules?.includesPrompt === false && Object.keys(prompts).length > 0)
    throw new UnsupportedModelError(
      `${file}: a pooling that leaves out the prompt's tokens ("include_prompt": false) is not supported where the model has prompts.`,
    )
  return Object.freeze({ modules, prompts, maxTokens, isLowerCase })
}

interface Module {
  readonly kind: string
  /** Of messages. */
  readonly type: string
  readonly path: string
}

type ReadModules = SentenceModules & { readonly includesPrompt: boolean }

/** Transformer, Pooling, any dense layers, Normalize or not: in this order. */
function readModules(folder: string, json: unknown): ReadModules | null {
  const file = join(folder, 'modules.json')
  if (!Array.isArray(json) || json.length === 0 || json.length > maxDenseLayers + 3)
    throw new CheckpointError(file, `must be a list of 1 to ${maxDenseLayers + 3} modules`)
  const [first, second, ...rest] = json.map((entry) => readModule(file, entry))
  if (first?.kind !== 'Transformer' || first.path !== '')
    throw new UnsupportedModelError(
      `${file}: the first module is ${describe(first)}; supported is a Transformer with path "", the folder itself.`,
    )
  if (second === undefined) return null
  if (second.kind !== 'Pooling')
    throw new UnsupportedModelError(`${file}: the second module is ${describe(second)}; supported is Pooling.`)
  const pooling = readPooling(join(folder, second.path, 'config.json'))
  const isNormalized = rest.at(-1)?.kind === 'Normalize'
  const dense = (isNormalized ? rest.slice(0, -1) : rest).map((module) => {
    if (module.kind === 'Dense') return readDense(join(folder, module.path))
    throw new UnsupportedModelError(
      `${file}: ${describe(module)} behind the pooling is not supported; known are Dense, and Normalize as the last.`,
    )
  })
  return { ...pooling, dense: Object.freeze(dense), isNormalized }
}

function readModule(file: string, entry: unknown): Module {
  const { type, path } = isJsonObject(entry) ? entry : {}
  if (typeof type !== 'string' || typeof path !== 'string' || type.length > 200)
    throw new CheckpointError(file, 'a module must have "type" and "path", both texts')
  // Below the folder, and nowhere else.
  if (!/^(\w[\w.-]{0,100})?$/.test(path))
    throw new CheckpointError(
      file,
      `"path" is ${JSON.stringify(path.slice(0, 100))}, and must be the name of a folder in it`,
    )
  const name = /^sentence_transformers\.(?:\w+\.)*(\w+)$/.exec(type)?.[1]
  if (name === undefined)
    throw new UnsupportedModelError(
      `${file}: the module ${JSON.stringify(type)} is not of sentence-transformers; code of a checkpoint is never run.`,
    )
  return { kind: name, type, path }
}

function describe(module: Module | undefined): string {
  return module === undefined ? 'missing' : `${module.type} with path ${JSON.stringify(module.path)}`
}

const poolingTypes: Readonly<Record<string, PoolingType>> = { cls: 'cls', mean: 'mean', lasttoken: 'last' }

/** Of before sentence-transformers 6; what is false is left out. */
const poolingFlags: Readonly<Record<string, string>> = {
  pooling_mode_cls_token: 'cls',
  pooling_mode_mean_tokens: 'mean',
  pooling_mode_max_tokens: 'max',
  pooling_mode_mean_sqrt_len_tokens: 'mean_sqrt_len_tokens',
  pooling_mode_weightedmean_tokens: 'weightedmean',
  pooling_mode_lasttoken: 'lasttoken',
}

function readPooling(file: string): Pick<ReadModules, 'type' | 'inFeatures' | 'includesPrompt'> {
  const json = requireJson(file)
  const modes = poolingModes(json, file)
  const [mode] = modes
  const type = mode !== undefined && Object.hasOwn(poolingTypes, mode) ? poolingTypes[mode] : undefined
  if (type === undefined || modes.length > 1)
    throw new UnsupportedModelError(
      `${file}: pooling by ${modes.map((name) => JSON.stringify(name)).join(' and ')} is not supported; known are cls, mean and lasttoken, one of them.`,
    )
  return {
    type,
    inFeatures: readCount(json, { file, keys: ['embedding_dimension', 'word_embedding_dimension'], max: maxFeatures }),
    includesPrompt: readFlag(json, file, 'include_prompt') ?? true,
  }
}

function poolingModes(json: JsonObject, file: string): string[] {
  const { pooling_mode: mode } = json
  if (mode === undefined) {
    const flags = Object.keys(poolingFlags).filter((key) => readFlag(json, file, key))
    return flags.length === 0 ? ['mean'] : flags.map((key) => poolingFlags[key]!)
  }
  const modes: unknown[] = Array.isArray(mode) ? mode : [mode]
  if (modes.length === 0 || modes.length > 8 || !modes.every((name) => typeof name === 'string' && name.length < 100))
    throw new CheckpointError(file, '"pooling_mode" must be the name of a way to pool, or a list of them')
  return modes as string[] // as was checked
}

const denseActivations: Readonly<Record<string, DenseConfig['activation']>> = {
  Identity: 'none',
  Tanh: 'tanh',
  ReLU: 'relu',
  GELU: 'gelu',
  SiLU: 'silu',
  Sigmoid: 'sigmoid',
}

function readDense(folder: string): DenseConfig {
  const file = join(folder, 'config.json')
  const json = requireJson(file)
  for (const key of ['module_input_name', 'module_output_name']) {
    const value = json[key]
    if (value !== undefined && value !== null && value !== 'sentence_embedding')
      throw new UnsupportedModelError(
        `${file}: "${key}" is ${JSON.stringify(value).slice(0, 100)}; supported is sentence_embedding.`,
      )
  }
  if (readFlag(json, file, 'use_residual'))
    throw new UnsupportedModelError(`${file}: a dense layer with a residual ("use_residual") is not supported.`)
  return Object.freeze({
    folder,
    inFeatures: requireCount(json, file, 'in_features'),
    outFeatures: requireCount(json, file, 'out_features'),
    hasBias: readFlag(json, file, 'bias') ?? true,
    activation: readActivation(json, file),
  })
}

function readActivation({ activation_function: name }: JsonObject, file: string): DenseConfig['activation'] {
  if (name === undefined) return 'tanh'
  const found = typeof name === 'string' ? /^torch\.nn\.(?:modules\.\w+\.)?(\w+)$/.exec(name)?.[1] : undefined
  const activation = found !== undefined && Object.hasOwn(denseActivations, found) ? denseActivations[found] : undefined
  if (activation !== undefined) return activation
  throw new UnsupportedModelError(
    `${file}: the activation_function ${JSON.stringify(name).slice(0, 200)} is not supported; known are ${Object.keys(denseActivations).join(', ')} of torch.nn.`,
  )
}

function readPrompts(file: string): Readonly<Record<string, string>> {
  const prompts = readJsonFile(file, maxFileBytes)?.['prompts'] ?? {}
  if (!isJsonObject(prompts) || Object.values(prompts).some((prompt) => typeof prompt !== 'string'))
    throw new CheckpointError(file, '"prompts" must be an object of texts')
  const entries = Object.entries(prompts)
  if (entries.length > maxPrompts)
    throw new CheckpointError(file, `"prompts" has ${entries.length} entries; the limit is ${maxPrompts}`)
  return Object.freeze(Object.fromEntries(entries.map(([name, prompt]) => [name, String(prompt)])))
}

/** Older checkpoints name the file after their model. */
const limitFiles = ['bert', 'roberta', 'distilbert', 'xlm-roberta'].map((name) => `sentence_${name}_config.json`)

function readLimits(folder: string): Pick<SentenceTransformers, 'maxTokens' | 'isLowerCase'> {
  for (const name of limitFiles) {
    const file = join(folder, name)
    const json = readJsonFile(file, maxFileBytes)
    if (json === null) continue
    return {
      maxTokens: readCount(json, { file, keys: ['max_seq_length'], max: maxSequenceLength }),
      isLowerCase: readFlag(json, file, 'do_lower_case') ?? false,
    }
  }
  return { maxTokens: null, isLowerCase: false }
}

function requireJson(file: string): JsonObject {
  const json = readJsonFile(file, maxFileBytes)
  if (json !== null) return json
  throw new CheckpointError(file, 'does not exist, and modules.json names its folder')
}

function readFlag(json: JsonObject, file: string, key: string): boolean | null {
  const value = json[key] ?? null
  if (value === null || typeof value === 'boolean') return value
  throw new CheckpointError(file, `"${key}" is ${JSON.stringify(value).slice(0, 80)}, and must be true or false`)
}

/** The first of `keys` that is there; `null` for none. */
function readCount(
  json: JsonObject,
  { file, keys, max }: { readonly file: string; readonly keys: readonly string[]; readonly max: number },
): number | null {
  for (const key of keys) {
    const value = json[key] ?? null
    if (value === null) continue
    if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= max) return value
    throw new CheckpointError(
      file,
      `"${key}" is ${JSON.stringify(value).slice(0, 80)}, and must be an integer from 1 to ${max}`,
    )
  }
  return null
}

function requireCount(json: JsonObject, file: string, key: string): number {
  const value = readCount(json, { file, keys: [key], max: maxFeatures })
  if (value === null) throw new CheckpointError(file, `"${key}" is missing`)
  return value
}
