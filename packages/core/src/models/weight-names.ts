import type { ModelConfig } from '../config/model-config.ts'
import { CheckpointError } from '../errors.ts'
import type { WeightSource } from '../loading/weight-source.ts'
import type { WeightLayout } from '../loading/weight-view.ts'
import type { DecoderDesign } from './decoder-design.ts'
import type { LayerRange } from './model.ts'

/** Checkpoints of one architecture come with and without these, and the text part of a multimodal one under its own. */
const stackPrefixes = ['model.', '', 'transformer.', 'language_model.model.', 'model.language_model.']
const headPrefixes = ['', 'language_model.', ...stackPrefixes]

/** Where a checkpoint's stack and head stand. */
export interface WeightNames {
  /** Before all names of the decoder stack, in place of the design's `stack`. */
  readonly base: string
  /** `null` where the checkpoint has none. */
  readonly lmHead: string | null
  /** Whether the model has one at all: no embedder or classifier does. */
  readonly hasLmHead: boolean
  /** The embedding is the head's weight, where there is a head; a stored one does not count. */
  readonly isTied: boolean
}

/** Throws CheckpointError where the embedding is under none of the known prefixes. */
export function resolveNames(
  source: WeightSource,
  { stack, embedding, lmHead }: DecoderDesign,
  { hasTiedEmbeddings, head: kind }: Pick<ModelConfig, 'hasTiedEmbeddings' | 'head'>,
): WeightNames {
  const modules = new Set(source.names().map((name) => name.slice(0, name.lastIndexOf('.'))))
  const embeddings = stackPrefixes.map((prefix) => prefix + embedding.slice(stack.length))
  const found = embeddings.findIndex((name) => modules.has(name))
  const base = stackPrefixes[found]
  if (base === undefined) {
    const tried = embeddings.map((name) => `${name}.weight`).join(', ')
    throw new CheckpointError(source.file, `no embedding among ${source.names().length} tensors; looked for ${tried}`)
  }
  const head = headPrefixes.map((prefix) => prefix + lmHead).find((name) => modules.has(name)) ?? null
  const hasLmHead = kind === 'tokens'
  return { base, lmHead: head, hasLmHead, isTied: hasLmHead && (hasTiedEmbeddings ?? head === null) }
}

export interface StageTensors {
  readonly names: WeightNames
  readonly layers: LayerRange
  readonly numLayers: number
}

/** Stored names → the design's; what other stages hold has none. */
export function stageLayout(design: DecoderDesign, { names, layers, numLayers }: StageTensors): WeightLayout {
  const { base, lmHead, hasLmHead, isTied } = names
  const { start, end } = layers
  const hasEmbedding = start === 0
  const hasHead = end === numLayers
  const absent = [
    ...(hasEmbedding || (hasHead && isTied) ? [] : [design.embedding]),
    ...(hasEmbedding || design.positions === null ? [] : [design.positions]),
    ...(hasHead ? [] : [design.finalNorm]),
  ].map((module) => `${module}.`)
  const isElsewhere = (name: string): boolean => {
    if (!name.startsWith(`${design.layers}.`)) return absent.some((module) => name.startsWith(module))
    const layer = Number.parseInt(name.slice(design.layers.length + 1), 10)
    return layer < numLayers && (layer < start || layer >= end)
  }
  const classifiers = Object.values(design.classifiers).map(({ output }) => `${output}.`)
  // Beside a head over the vocabulary it is a leftover.
  const isClassifier = (name: string): boolean => classifiers.some((module) => name.startsWith(module))
  return {
    rename(stored) {
      if (lmHead !== null && stored.startsWith(`${lmHead}.`)) {
        return hasHead && hasLmHead && !isTied ? design.lmHead + stored.slice(lmHead.length) : null
      }
      if (isClassifier(stored)) return hasHead && !hasLmHead ? stored : null
      const name = stored.startsWith(base) ? design.stack + stored.slice(base.length) : stored
      return isElsewhere(name) ? null : name
    },
    isInOut: (name) => design.inOut?.test(name) ?? false,
  }
}
