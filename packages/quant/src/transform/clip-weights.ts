import type { DecoderLayer } from '../decoder-layer.ts'
import type { InputMoments } from '../quantize/input-moments.ts'
import { groupWidth } from '../quantize/observe-scales.ts'
import type { ModuleTask } from '../quantize/pass-options.ts'
import { solveModules } from '../quantize/solve-layer.ts'
import { matrixOf } from '../quantize/weight-matrix.ts'
import { cutWeights, GroupMoments, searchLimits } from './clip-limits.ts'

/** An expert that is given fewer tokens keeps its weights: limits that fit a few tokens fit no others. */
export const minExpertTokens = 128

/**
 * Cuts weights at the magnitude, of each row or of each of its groups, at which their rounded values change the outputs
 * least, over all calibration tokens.
 */
export async function clipWeights(layer: DecoderLayer, tasks: readonly ModuleTask[]): Promise<void> {
  const search = new LayerSearch()
  try {
    const limits = await solveModules(layer, { tasks, minExpertTokens, solve: search.limitsOf })
    for (const [module, found] of limits) module.setWeight(cutWeights(module.weight(), found))
  } finally {
    search.dispose()
  }
}

/** Queries, keys and values share moments. */
class LayerSearch {
  #last: { readonly sums: Float64Array; readonly moments: GroupMoments } | null = null

  readonly limitsOf = ({ module, scheme }: ModuleTask, { sums, cols }: InputMoments): Float32Array => {
    const width = groupWidth(scheme, cols)
    if (this.#last?.sums !== sums || this.#last.moments.width !== width) {
      this.dispose()
      this.#last = { sums, moments: new GroupMoments(sums, { cols, width }) }
    }
    return searchLimits(matrixOf(module), scheme, this.#last.moments)
  }

  dispose(): void {
    this.#last?.moments[Symbol.dispose]()
    this.#last = null
  }
}
