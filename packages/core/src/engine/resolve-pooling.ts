import type { ModelConfig } from '../config/model-config.ts'
import type { DenseConfig, PoolingConfig, PoolingType } from '../config/pooling-config.ts'
import { CheckpointError } from '../errors.ts'
import type { Checkpoint } from '../loading/checkpoint.ts'
import type { PoolingTask } from '../pooling-params.ts'

export interface PoolingOptions {
  /** In place of the checkpoint's; default 'auto'. */
  readonly poolingType?: PoolingType | 'auto'
}

/**
 * What a model offers beside the next token: by its architecture, and by the files of sentence-transformers, which make an
 * embedder of a decoder as well.
 *
 * @throws CheckpointError where these do not fit together
 */
export function resolvePooling(
  { path, sentenceTransformers }: Pick<Checkpoint, 'path' | 'sentenceTransformers'>,
  config: ModelConfig,
  { poolingType = 'auto' }: PoolingOptions = {},
): PoolingConfig {
  const { encoder, head, hiddenSize, pooling } = config
  const { prompts, maxTokens } = sentenceTransformers
  // What pools in front of a classifier is the classifier's own.
  const modules = pooling.classifier === null ? sentenceTransformers.modules : null
  const dense = modules?.dense ?? []
  const dimensions = dense.at(-1)?.outFeatures ?? hiddenSize
  checkFeatures(path, hiddenSize, { inFeatures: modules?.inFeatures ?? null, dense })
  const tooLong = Array.isArray(pooling.matryoshka)
    ? pooling.matryoshka.find((length) => length > dimensions)
    : undefined
  if (tooLong !== undefined)
    throw new CheckpointError(path, `"matryoshka_dimensions" has ${tooLong}, and embeddings have ${dimensions}`)
  const checkpointType = modules?.type ?? (encoder === null ? 'last' : pooling.classifierType)
  return Object.freeze<PoolingConfig>({
    tasks: tasksOf(config),
    canGenerate: head === 'tokens' && modules === null,
    needsWholePrompts: encoder !== null,
    type: poolingType === 'auto' ? checkpointType : poolingType,
    isNormalized: modules?.isNormalized ?? true,
    dimensions,
    matryoshka: pooling.matryoshka,
    dense,
    classifier: pooling.classifier,
    pairs: encoder !== null || pooling.usesSeparator ? 'tokenizer' : 'concatenated',
    maxTokens,
    prompts,
  })
}

/** How long a context is without an option that says so: what an embedder's files say may be less than its positions. */
export function maxPromptTokens({ maxPositionEmbeddings }: ModelConfig, { maxTokens }: PoolingConfig): number {
  return Math.min(maxPositionEmbeddings, maxTokens ?? Infinity)
}

function tasksOf({ head, encoder }: ModelConfig): readonly PoolingTask[] {
  switch (head) {
    case 'classes':
      // An encoder's classifier reads what its pooler makes of a text; a decoder's reads any token.
      return encoder === null ? ['classify', 'token_classify'] : ['classify']
    case 'token-classes':
      return ['token_classify']
    default:
      return ['embed', 'token_embed']
  }
}

function checkFeatures(
  path: string,
  hiddenSize: number,
  { inFeatures, dense }: { readonly inFeatures: number | null; readonly dense: readonly DenseConfig[] },
): void {
  if (inFeatures !== null && inFeatures !== hiddenSize)
    throw new CheckpointError(
      path,
      `its pooling takes rows of ${inFeatures} features, and the model's hidden_size is ${hiddenSize}`,
    )
  let features = hiddenSize
  for (const { folder, inFeatures: expected, outFeatures } of dense) {
    if (expected !== features)
      throw new CheckpointError(folder, `in_features is ${expected}, and what comes before gives ${features}`)
    features = outFeatures
  }
}
