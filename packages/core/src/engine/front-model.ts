import type { ChatFormat } from '../chat-format/chat-format.ts'
import type { EngineConfig } from '../config/engine-config.ts'
import { readEnv } from '../config/env.ts'
import { type EngineModule, hasFunctions } from '../config/engine-module.ts'
import { parseModelConfig } from '../config/model-config.ts'
import type { PoolingConfig } from '../config/pooling-config.ts'
import { InvalidConfigError } from '../errors.ts'
import { type Checkpoint, openCheckpoint } from '../loading/checkpoint.ts'
import { type DownloadProgress, resolveModelPath } from '../loading/hub.ts'
import type { SamplingParams } from '../sampling-params.ts'
import { ChatTemplates } from '../tokenizer/chat-templates.ts'
import { createTokenizer } from '../tokenizer/hf-tokenizer.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { defaultChatFormat } from './chat-format-of.ts'
import { eosTokenIdsOf, samplingDefaults } from './generation-config.ts'
import { GrammarTranslator } from './grammar-translator.ts'
import { loadArchitectures } from './load-engine-modules.ts'
import { createFrontEncoder, type PromptEncoder, ThreadedPromptEncoder } from './prompt-encoder.ts'
import { maxPromptTokens, resolvePooling } from './resolve-pooling.ts'
import type { TokenizerThreadOptions } from './tokenizer-thread.ts'

export interface LoadHooks {
  readonly onDownloadProgress?: (progress: DownloadProgress) => void
  readonly onLoadProgress?: (loadedBytes: number, totalBytes: number) => void
}

/** What the front thread knows of a model: everything about text, nothing about weights. */
export interface FrontModel {
  readonly tokenizer: Tokenizer
  /** Not the checkpoint's, which the threads know that hold outputs to grammars. */
  readonly hasOwnTokenizer: boolean
  /** To be closed with whatever uses the model, as the next. */
  readonly promptEncoder: PromptEncoder
  readonly grammarTranslator: GrammarTranslator
  readonly chatTemplates: ChatTemplates
  /** How answers to conversations with tools are written; `null` where there is no template for them. */
  readonly chatFormat: ChatFormat | null
  readonly vocabSize: number
  readonly maxPositions: number
  readonly longPromptThreshold: number | null
  readonly eosTokenIds: readonly number[]
  readonly defaultParams: SamplingParams
  readonly pooling: PoolingConfig
}

/** The model's folder or file, downloaded if need be. */
export function locateModel(
  { model, revision }: Pick<EngineConfig['model'], 'model' | 'revision'>,
  hooks: Pick<LoadHooks, 'onDownloadProgress'> = {},
): Promise<string> {
  const env = readEnv()
  return resolveModelPath(model, {
    revision,
    cacheDir: env.hfCacheDir,
    token: env.hfToken,
    offline: env.isHfOffline,
    endpoint: env.hfEndpoint,
    proxy: env.proxy,
    ...(hooks.onDownloadProgress && { onProgress: hooks.onDownloadProgress }),
  })
}

/** What of an engine's parts from outside the front uses. */
export interface FrontParts {
  readonly modules?: readonly EngineModule[]
  readonly createTokenizer?: CreateTokenizer
  /** What encoding one text may take off the front thread. */
  readonly tokenizerTimeoutMs?: number
}

/** A tokenizer of one's own for this model: text is the front's matter, so it needs to cross to no thread. */
export type CreateTokenizer = (checkpoint: Checkpoint) => Tokenizer | Promise<Tokenizer>

export async function loadFrontModel(
  config: EngineConfig,
  modelPath: string,
  { modules = [], createTokenizer: createOwn, tokenizerTimeoutMs }: FrontParts = {},
): Promise<FrontModel> {
  const checkpoint = await openCheckpoint(modelPath)
  const modelConfig = parseModelConfig(checkpoint.config, checkpoint.path, await loadArchitectures(modules))
  const { tokenizer, promptEncoder } =
    createOwn === undefined
      ? await checkpointTokenizer(checkpoint, { modelPath, encodeTimeoutMs: tokenizerTimeoutMs })
      : withFrontEncoder(checkTokenizer(await createOwn(checkpoint)))
  const chatTemplates = new ChatTemplates({
    override: config.model.chatTemplate,
    defaultTemplate: tokenizer.chatTemplate ?? null,
    named: tokenizer.namedTemplates ?? new Map(),
    tokens: tokenizer,
  })
  // An id beyond the vocabulary never comes out of the model.
  const eosTokenIds = eosTokenIdsOf(checkpoint, modelConfig, tokenizer).filter((id) => id < modelConfig.vocabSize)
  const pooling = resolvePooling(checkpoint, modelConfig, config.model)
  return {
    tokenizer,
    hasOwnTokenizer: createOwn !== undefined,
    promptEncoder,
    grammarTranslator: new GrammarTranslator(),
    chatTemplates,
    // While the engine's thread reads the weights; the first request finds it done.
    chatFormat: defaultChatFormat(chatTemplates, { tokenizer, eosTokenIds }),
    vocabSize: modelConfig.vocabSize,
    maxPositions: maxPromptTokens(modelConfig, pooling),
    longPromptThreshold: modelConfig.longPromptThreshold,
    eosTokenIds,
    defaultParams: samplingDefaults(checkpoint, config.model),
    pooling,
  }
}

type TokenizerAndEncoder = Pick<FrontModel, 'tokenizer' | 'promptEncoder'>

async function checkpointTokenizer(
  checkpoint: Checkpoint,
  options: TokenizerThreadOptions,
): Promise<TokenizerAndEncoder> {
  const tokenizer = createTokenizer(checkpoint.readTokenizer())
  const promptEncoder = new ThreadedPromptEncoder(tokenizer, options)
  await promptEncoder.check()
  return { tokenizer, promptEncoder }
}

function withFrontEncoder(tokenizer: Tokenizer): TokenizerAndEncoder {
  return { tokenizer, promptEncoder: createFrontEncoder(tokenizer) }
}

/** Types promise what JavaScript does not keep. */
function checkTokenizer(tokenizer: Tokenizer): Tokenizer {
  const functions = ['encode', 'decode', 'createDecodeStream', 'idToToken', 'tokenToId', 'tokenBytes']
  if (hasFunctions(tokenizer, ...functions) && tokenizer.specialTokenIds instanceof Set) return tokenizer
  throw new InvalidConfigError(
    'createTokenizer',
    `must return a Tokenizer (@octavo/core/tokenizer), with the functions ${functions.join(', ')} and a set of specialTokenIds`,
  )
}
