import { assert } from '@octavo/core/backend'
import type { DecoderLayer, LayerModule } from '../decoder-layer.ts'
import type { SmoothNorm, SmoothPlace } from './smooth-place.ts'

/**
 * Divides channels by scales where they are made and multiplies the weights that read them, so that the layer computes what
 * it did.
 */
export function foldScales(layer: DecoderLayer, place: SmoothPlace, scales: Float32Array): void {
  const { smooth, balance, channelOf } = place
  const folded = smooth.kind === 'norm' ? foldNorm(layer, smooth, scales) : scales
  if (smooth.kind === 'linear') foldRows(layer, smooth.module, scales)
  const factors = channelOf === null ? folded : Float32Array.from(channelOf, (channel) => folded[channel]!)
  for (const module of balance) module.setWeight(scaleColumns(module.weight(), factors))
}

/** In place: `values` `[rows, cols]`, a factor for each column. */
export function scaleColumns(values: Float32Array, factors: Float32Array): Float32Array {
  const cols = factors.length
  for (let start = 0; start < values.length; start += cols)
    for (let col = 0; col < cols; col++) values[start + col]! *= factors[col]!
  return values
}

/**
 * The checkpoint rounds the norm's weights, to a bfloat16 perhaps. The scales are what they come to after that, or each
 * channel would be off by what was rounded away.
 */
function foldNorm(layer: DecoderLayer, { name }: SmoothNorm, scales: Float32Array): Float32Array {
  const before = layer.vector(`${name}.weight`)
  assert(before !== null, `${name} is a norm of the layer`)
  const offset = layer.design.norm.hasUnitOffset ? 1 : 0
  const divided = before.map((weight, i) => (weight + offset) / scales[i]! - offset)
  const after = layer.toStored(`${name}.weight`, divided)
  const folded = scales.map((scale, i) => {
    const exact = (before[i]! + offset) / (after[i]! + offset)
    return Number.isFinite(exact) && exact > 0 ? exact : scale
  })
  layer.setVector(`${name}.weight`, after)
  const bias = layer.vector(`${name}.bias`)
  if (bias !== null)
    layer.setVector(
      `${name}.bias`,
      bias.map((value, i) => value / folded[i]!),
    )
  return folded
}

function foldRows(layer: DecoderLayer, module: LayerModule, scales: Float32Array): void {
  const first = module.rows - scales.length
  const values = module.weight()
  for (let i = 0; i < scales.length; i++) {
    const start = (first + i) * module.cols
    for (let at = start; at < start + module.cols; at++) values[at]! /= scales[i]!
  }
  module.setWeight(values)
  const bias = layer.vector(`${module.name}.bias`)
  if (bias !== null) {
    for (let i = 0; i < scales.length; i++) bias[first + i]! /= scales[i]!
    layer.setVector(`${module.name}.bias`, bias)
  }
}
