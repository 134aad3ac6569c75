import { consoleLogger } from '@octavo/core'
import type { Logger } from '@octavo/core'
import { InvalidConfigError } from '@octavo/core/backend'
import { definePass } from '../decoder-layer.ts'
import type { DecoderLayer, LayerModule, LayerPass } from '../decoder-layer.ts'
import { createModuleSelector } from '../module-selector.ts'
import type { ModuleSelection } from '../module-selector.ts'
import { createPlaceChooser } from './choose-places.ts'
import type { SmoothMapping } from './choose-places.ts'
import { foldScales } from './fold-scales.ts'
import { createPlaceReporter, refuseQuantized } from './report-places.ts'
import type { SmoothPlace } from './smooth-place.ts'

export interface EqualizationOptions extends ModuleSelection {
  /** Default: from the norms before attention and MLP to the linear layers that read them; of mixtures of experts attention's. */
  readonly mappings?: readonly SmoothMapping[] | null
  /** Places that are left as they are are said here. Default: stderr. */
  readonly logger?: Logger
}

export interface SmoothQuantOptions extends EqualizationOptions {
  /** How much of the inputs' range goes into the weights, 0 to 1. Default 0.5. */
  readonly smoothingStrength?: number
}

/**
 * SmoothQuant (Xiao et al. 2022, arXiv 2211.10438) with llm-compressor's scales: makes inputs easier to round to few bits by
 * scaling the channels that reach far, for which the weights make up. It quantizes nothing: put it before what does.
 *
 * @throws InvalidConfigError
 */
export function smoothQuant(options: SmoothQuantOptions = {}): LayerPass {
  const { smoothingStrength = 0.5 } = options
  if (!(smoothingStrength >= 0 && smoothingStrength <= 1))
    throw new InvalidConfigError('smoothingStrength', `must be between 0 and 1, got ${smoothingStrength}`)
  return equalization('smoothQuant', { ...options, smoothingStrength }, (ranges, balance) =>
    smoothingScales(ranges, largestWeights(balance), smoothingStrength),
  )
}

/** Logarithmic equalization (Li et al. 2023, arXiv 2308.15987): as SmoothQuant, by the inputs alone. */
export function logEqualization(options: EqualizationOptions = {}): LayerPass {
  return equalization('logEqualization', options, logScales)
}

/** `range^a / (2 max|w|)^(1 - a)`; where no weight reads a channel, its range. */
export function smoothingScales(ranges: Float64Array, largest: Float64Array, strength: number): Float32Array {
  return Float32Array.from(ranges, (range, i) => {
    const weight = 2 * largest[i]!
    return atLeast(weight > 0 ? range ** strength / weight ** (1 - strength) : range)
  })
}

/** `range / log2(2 + range)`. */
export function logScales(ranges: Float64Array): Float32Array {
  return Float32Array.from(ranges, (range) => atLeast(range / Math.log2(2 + range)))
}

/** llm-compressor's least scale. */
function atLeast(scale: number): number {
  return Math.max(scale, 1e-5)
}

type ChannelScales = (ranges: Float64Array, balance: readonly LayerModule[]) => Float32Array

function equalization(
  name: string,
  options: EqualizationOptions & { readonly smoothingStrength?: number },
  scalesOf: ChannelScales,
): LayerPass {
  const { mappings = null, logger = consoleLogger, targets, ignore, smoothingStrength = null } = options
  const choose = createPlaceChooser(mappings)
  const selects = createModuleSelector({ ...(targets && { targets }), ...(ignore && { ignore }) })
  const report = createPlaceReporter(name, logger)
  const identity = { mappings, targets: targets ?? null, ignore: ignore ?? null, smoothingStrength }
  return definePass({ name, options: identity, needsCalibration: true }, async (layer) => {
    if (layer.kind !== 'decoder') return
    const { places, missing } = choose(layer)
    const isAsked = (kind: 'norm' | 'linear'): boolean => mappings !== null || kind === 'norm'
    report(
      layer,
      missing.filter(({ kind }) => isAsked(kind)),
    )
    const chosen = places.filter(({ smooth, balance }) => isAsked(smooth.kind) && balance.some(selects))
    refuseQuantized(layer, chosen)
    const ranges = await observeRanges(layer, chosen)
    for (const place of chosen) {
      const range = ranges.get(place.balance[0]!)
      if (range !== undefined) foldScales(layer, place, scalesOf(range, place.balance))
    }
  })
}

/** Of what the readers of each place are given: the largest minus the least of each channel. */
async function observeRanges(
  layer: DecoderLayer,
  places: readonly SmoothPlace[],
): Promise<Map<LayerModule, Float64Array>> {
  const extremes = new Map(
    places.map(({ balance }) => {
      const [reader] = balance
      const channels = {
        min: new Float64Array(reader!.cols).fill(Infinity),
        max: new Float64Array(reader!.cols).fill(-Infinity),
      }
      return [reader!, channels] as const
    }),
  )
  const seen = new Map<LayerModule, Float64Array>()
  await layer.observe(({ module, input }) => {
    const channels = extremes.get(module)
    if (channels === undefined) return
    const { min, max } = channels
    const values = input.dataSync<'float32'>()
    for (let start = 0; start < values.length; start += module.cols) {
      for (let col = 0; col < module.cols; col++) {
        const value = values[start + col]!
        if (value < min[col]!) min[col] = value
        if (value > max[col]!) max[col] = value
      }
    }
    seen.set(module, max)
  })
  for (const [module, max] of seen) {
    const { min } = extremes.get(module)!
    seen.set(
      module,
      max.map((value, col) => value - min[col]!),
    )
  }
  return seen
}

/** The largest magnitude that reads each channel. */
function largestWeights(balance: readonly LayerModule[]): Float64Array {
  const cols = balance[0]!.cols
  const largest = new Float64Array(cols)
  for (const module of balance) {
    const values = module.weight()
    for (let start = 0; start < values.length; start += cols) {
      for (let col = 0; col < cols; col++) {
        const size = Math.abs(values[start + col]!)
        if (size > largest[col]!) largest[col] = size
      }
    }
  }
  return largest
}
