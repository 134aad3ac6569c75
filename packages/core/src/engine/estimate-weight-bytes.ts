import type { EngineConfig } from '../config/engine-config.ts'
import { moduleOf } from '../layers/linear-method.ts'
import { storedBytes, tryWeight } from '../loading/weight-source.ts'
import type { WeightSource } from '../loading/weight-source.ts'
import { WeightView } from '../loading/weight-view.ts'
import type { LayerRange } from '../models/model.ts'
import type { QuantizationScheme } from '../quantization/quantization-scheme.ts'
import { isDense, weightFormats } from '../tensor/dtype.ts'
import { planesOf } from '../tensor/grouped-format.ts'

interface EstimateOptions {
  readonly dtype: EngineConfig['model']['dtype']
  readonly layers: LayerRange | undefined
  readonly numRanks: number
  readonly numExpertRanks: number
  readonly scheme: QuantizationScheme | null
}

/** What this rank's weights will take in memory, as stored or in the dtype asked for; a stage's embedding and head count always. */
export function estimateWeightBytes(source: WeightSource, options: EstimateOptions): number {
  const { layers, numRanks, numExpertRanks } = options
  const bytesOf = createBytesOf(source, options)
  let total = 0
  for (const name of source.names()) {
    const layer = /\.(?:layers|h)\.(\d+)\./.exec(`.${name}`)?.[1]
    const isElsewhere = layers && layer !== undefined && (Number(layer) < layers.start || Number(layer) >= layers.end)
    if (isElsewhere === true) continue
    total += bytesOf(name) / (name.includes('.experts.') ? numExpertRanks : numRanks)
  }
  return Math.ceil(total)
}

function createBytesOf(source: WeightSource, { dtype, scheme }: EstimateOptions): (name: string) => number {
  const view = new WeightView(source)
  const seen = new Set<string>()
  return (name) => {
    const info = tryWeight(source, name)
    if (info === null) {
      if (scheme === null) return 0 // a buffer
      if (dtype === 'auto' && scheme.name !== 'gguf') return storedBytes(source, name)
      const module = moduleOf(name)
      const quantized = seen.has(module) ? null : scheme.find(view, module, 'linear')
      seen.add(module)
      if (quantized === null) return 0
      // GGUF's blocks take more as codes and scales than in their file.
      if (dtype === 'auto') return planesOf(quantized).sizeInBytes
      return quantized.rows * quantized.cols * weightFormats[dtype].blockBytes
    }
    const numElements = info.shape.reduce((product, dim) => product * dim, 1)
    const isKept = dtype === 'auto' || (info.shape.length < 2 && isDense(info.format))
    return isKept ? info.sizeInBytes : numElements * weightFormats[dtype].blockBytes
  }
}
