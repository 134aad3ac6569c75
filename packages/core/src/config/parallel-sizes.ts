import { InvalidConfigError } from '../errors.ts'
import type { ModelConfig } from './model-config.ts'

/** Of how many ranks a model runs. */
export interface ParallelSizes {
  /** Ranks that share every layer (tensor parallelism). */
  readonly tp: number
  /** Stages of layers behind each other (pipeline parallelism). */
  readonly pp: number
  /** Ranks that have the experts between them (expert parallelism); 1: those of `tp` share every expert. */
  readonly ep: number
}

type Heads = Pick<ModelConfig, 'numHeads' | 'numKvHeads'>
type CheckedConfig = Heads &
  Pick<ModelConfig, 'intermediateSize' | 'numLayers' | 'moe'> &
  Partial<Pick<ModelConfig, 'encoder'>>

/**
 * Whether a model of this shape can be divided so; before anything is loaded. Vocabularies, intermediate features and experts
 * need not divide evenly: some ranks have one more. Left out sizes are 1.
 *
 * @throws InvalidConfigError of `tp`, `pp` or `ep` that names the numbers and the sizes that work
 */
export function checkParallelSizes(config: CheckedConfig, sizes: Partial<ParallelSizes>): void {
  const { tp = 1, pp = 1, ep = 1 } = sizes
  for (const [option, size] of Object.entries({ tp, pp, ep })) {
    if (!Number.isInteger(size) || size < 1)
      throw new InvalidConfigError(option, `is ${size}, and must be a number of ranks from 1`)
  }
  checkHeads(config, tp)
  const { moe, numLayers, encoder = null } = config
  const features = sharedFeatures(config, ep)
  if (tp > features)
    throw new InvalidConfigError(
      'tp',
      `${tp} ranks cannot share ${features} intermediate features; use up to ${features}`,
    )
  if (pp > 1 && encoder !== null)
    throw new InvalidConfigError('pp', `is ${pp}, but an encoder is not cut into stages; use 1, or tp`)
  if (pp > numLayers)
    throw new InvalidConfigError('pp', `${pp} stages cannot share ${numLayers} layers; use 1 to ${numLayers}`)
  if (ep === 1) return
  if (moe === null) throw new InvalidConfigError('ep', `is ${ep}, but the model has no experts; use 1, or tp`)
  if (ep > moe.numExperts)
    throw new InvalidConfigError('ep', `${ep} ranks cannot share ${moe.numExperts} experts; use 1 to ${moe.numExperts}`)
  if (tp > 1 && ep !== tp)
    throw new InvalidConfigError('ep', `is ${ep} with tp ${tp}; use 1 or ${tp}, or leave tp at 1`)
}

/** @throws InvalidConfigError of `tp` that names the sizes that work */
export function checkHeads(heads: Heads, size: number): void {
  if (canShareHeads(heads, size)) return
  const { numHeads, numKvHeads } = heads
  throw new InvalidConfigError(
    'tp',
    `${size} ranks cannot share ${numHeads} query and ${numKvHeads} key/value heads evenly; ${useOneOf(headSizes(heads))}`,
  )
}

/** As many ranks as have whole heads: with more of them than key/value heads, several have the same of these. */
export function headSizes(heads: Heads): number[] {
  return Array.from({ length: heads.numHeads }, (_, i) => i + 1).filter((size) => canShareHeads(heads, size))
}

/** `use 1, 2 or 4`, for messages. */
export function useOneOf(sizes: readonly number[]): string {
  const last = sizes.at(-1)
  return sizes.length < 2 ? `use ${last ?? 1}` : `use ${sizes.slice(0, -1).join(', ')} or ${last}`
}

function canShareHeads({ numHeads, numKvHeads }: Heads, size: number): boolean {
  return numHeads % size === 0 && (numKvHeads % size === 0 || size % numKvHeads === 0)
}

/** The fewest features that some MLP shares. */
function sharedFeatures({ intermediateSize, moe }: CheckedConfig, ep: number): number {
  if (moe === null) return intermediateSize
  const shared = [...(moe.layers.every(Boolean) ? [] : [intermediateSize]), ...(ep === 1 ? [moe.intermediateSize] : [])]
  return Math.min(...shared)
}
