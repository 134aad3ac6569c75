import type { EngineConfig } from '../config/engine-config.ts'
import { OctavoError } from '../errors.ts'
import { moduleOf } from '../layers/linear-method.ts'
import { storedBytes, tryWeight } from '../loading/weight-source.ts'
import type { WeightSource } from '../loading/weight-source.ts'
import { WeightView } from '../loading/weight-view.ts'
import type { LayerRange } from '../models/model.ts'
import type { GroupedTensors } from '../quantization/grouped-tensors.ts'
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
  const view = new WeightView(source)
  const quantized = findQuantized(view, options)
  let total = 0
  for (const name of view.names()) {
    const layer = /\.(?:layers|h)\.(\d+)\./.exec(`.${name}`)?.[1]
    const isElsewhere = layers && layer !== undefined && (Number(layer) < layers.start || Number(layer) >= layers.end)
    if (isElsewhere === true) continue
    const bytes = quantized.get(name) ?? bytesOf(view, name, options)
    total += bytes / (name.includes('.experts.') ? numExpertRanks : numRanks)
  }
  return Math.ceil(total)
}

/** Of tensors that become quantized weights: bytes of the whole by the name of one of them, 0 by the others'. */
function findQuantized(view: WeightView, { dtype, scheme }: EstimateOptions): Map<string, number> {
  const bytes = new Map<string, number>()
  if (scheme === null) return bytes
  for (const module of new Set(view.names().map(moduleOf))) {
    const found = tryFind(scheme, view, module)
    if (found === null) continue
    const { rows, cols, names, unused } = found
    const size = dtype === 'auto' ? planesOf(found).sizeInBytes : rows * cols * weightFormats[dtype].blockBytes
    for (const [i, name] of [...names, ...unused].entries()) bytes.set(name, i === 0 ? size : 0)
  }
  return bytes
}

/** What is wrong with a module is said when it is loaded. */
function tryFind(scheme: QuantizationScheme, view: WeightView, module: string): GroupedTensors | null {
  try {
    return scheme.find(view, module, 'linear')
  } catch (error) {
    if (OctavoError.isInstance(error)) return null
    throw error
  }
}

function bytesOf(view: WeightView, name: string, { dtype, scheme }: EstimateOptions): number {
  const info = tryWeight(view, name)
  // A buffer, unless planes of quantized weights could have it.
  if (info === null) return scheme !== null && dtype === 'auto' ? storedBytes(view, name) : 0
  const numElements = info.shape.reduce((product, dim) => product * dim, 1)
  const isKept = dtype === 'auto' || (info.shape.length < 2 && isDense(info.format))
  return isKept ? info.sizeInBytes : numElements * weightFormats[dtype].blockBytes
}
