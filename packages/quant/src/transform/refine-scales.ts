import type { DecoderLayer, LayerModule } from '../decoder-layer.ts'
import { collectMoments } from '../quantize/input-moments.ts'
import { inModule } from '../quantize/pass-options.ts'
import type { ModuleTask } from '../quantize/pass-options.ts'
import { matrixOf } from '../quantize/weight-matrix.ts'
import { minExpertTokens } from './clip-weights.ts'
import { descendScales } from './descend-scales.ts'
import type { DescentResult } from './descend-scales.ts'
import { foldScales } from './fold-scales.ts'
import type { SmoothPlace } from './smooth-place.ts'

export interface RefineOptions {
  readonly places: readonly SmoothPlace[]
  readonly tasks: readonly ModuleTask[]
  /** How often all channels are gone through. */
  readonly sweeps: number
  readonly onRefined?: (place: SmoothPlace, result: DescentResult) => void
}

/**
 * Changes each channel's scale by itself to what all that read it lose least with, over all calibration tokens, for rows that
 * are cut. Left alone is a place whose readers are not given the same tokens, as a router and its experts are.
 */
export async function refineScales(
  layer: DecoderLayer,
  { places, tasks, sweeps, onRefined }: RefineOptions,
): Promise<void> {
  const schemes = new Map(tasks.map(({ module, scheme }) => [module, scheme]))
  const placeOf = new Map<LayerModule, SmoothPlace>()
  for (const place of places) for (const module of place.balance) placeOf.set(module, place)
  const found: [SmoothPlace, Float32Array][] = []
  for await (const { modules, sums, numTokens } of collectMoments(layer, [...placeOf.keys()])) {
    const place = placeOf.get(modules[0]!)!
    if (modules.length < place.balance.length) continue
    if (modules.some(({ role }) => role === 'expert') && numTokens < minExpertTokens) continue
    const readers = place.balance.flatMap((module) => {
      const scheme = schemes.get(module)
      return scheme === undefined ? [] : [{ matrix: matrixOf(module), scheme }]
    })
    const { cols } = place.balance[0]!
    const channelOf = place.channelOf ?? Int32Array.from({ length: cols }, (_, col) => col)
    const result = await inModule(layer, modules[0]!, () => descendScales(readers, { sums, channelOf, sweeps }))
    onRefined?.(place, result)
    found.push([place, result.scales])
  }
  // Moments are of the layer as it was; what is folded changes no input but that of the place's own readers.
  for (const [place, scales] of found) foldScales(layer, place, scales)
}
