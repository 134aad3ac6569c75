import type { EngineConfig } from '../config/engine-config.ts'
import { tryWeight } from '../loading/weight-source.ts'
import type { WeightSource } from '../loading/weight-source.ts'
import type { LayerRange } from '../models/model.ts'
import { isDense, weightFormats } from '../tensor/dtype.ts'

interface EstimateOptions {
  readonly dtype: EngineConfig['model']['dtype']
  readonly layers: LayerRange | undefined
  readonly numRanks: number
  readonly numExpertRanks: number
}

/** What this rank's weights will take in memory, as stored or in the dtype asked for; a stage's embedding and head count always. */
export function estimateWeightBytes(
  source: WeightSource,
  { dtype, layers, numRanks, numExpertRanks }: EstimateOptions,
): number {
  let total = 0
  for (const name of source.names()) {
    const info = tryWeight(source, name)
    const layer = /\.(?:layers|h)\.(\d+)\./.exec(`.${name}`)?.[1]
    const isElsewhere = layers && layer !== undefined && (Number(layer) < layers.start || Number(layer) >= layers.end)
    if (info === null || isElsewhere === true) continue
    const numElements = info.shape.reduce((product, dim) => product * dim, 1)
    const isKept = dtype === 'auto' || (info.shape.length < 2 && isDense(info.format))
    const bytes = isKept ? info.sizeInBytes : numElements * weightFormats[dtype].blockBytes
    total += bytes / (name.includes('.experts.') ? numExpertRanks : numRanks)
  }
  return Math.ceil(total)
}
