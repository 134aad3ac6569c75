import { CheckpointError } from '../errors.ts'
import type { WeightSource } from '../loading/weight-source.ts'
import type { DecoderDesign } from './decoder-design.ts'

/** Checkpoints of one architecture come with and without these, and the text part of a multimodal one under its own. */
const stackPrefixes = ['model.', '', 'transformer.', 'language_model.model.', 'model.language_model.']
const headPrefixes = ['', 'language_model.', ...stackPrefixes]

export interface WeightNames {
  /** Before all names of the decoder stack. */
  readonly base: string
  /** Up to the dot before `weight`; `null` where the checkpoint has no such tensor. */
  readonly lmHead: string | null
}

/** Throws CheckpointError where the embedding is under none of the known prefixes. */
export function resolveNames(
  source: WeightSource,
  { embedding, lmHead }: Pick<DecoderDesign, 'embedding' | 'lmHead'>,
): WeightNames {
  const base = stackPrefixes.find((prefix) => source.get(`${prefix}${embedding}.weight`) !== null)
  if (base === undefined) {
    const tried = stackPrefixes.map((prefix) => `${prefix}${embedding}.weight`).join(', ')
    throw new CheckpointError(source.file, `no embedding among ${source.names().length} tensors; looked for ${tried}`)
  }
  const head = headPrefixes.find((prefix) => source.get(`${prefix}${lmHead}.weight`) !== null)
  return { base, lmHead: head === undefined ? null : head + lmHead }
}
