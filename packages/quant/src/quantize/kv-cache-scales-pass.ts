import { InvalidConfigError } from '@octavo/core/backend'
import { QuantizationError } from '@octavo/core/quantization'
import type { Tensor3D } from '@tensorflow/tfjs-core'
import { definePass } from '../decoder-layer.ts'
import type { LayerPass } from '../decoder-layer.ts'
import type { KvCacheScheme } from '../weight-scheme.ts'

/** Default: e4m3 floats, one scale for a layer's keys and one for its values. */
export type KvCacheScalesOptions = Partial<KvCacheScheme>

const largestCodes = { float: 448, int: 127 }

/** What a scale of zero becomes: torch's `finfo(float32).eps`. */
const smallestScale = 2 ** -23

/**
 * Scales of keys and values that are the same for all tokens, for what runs the saved model with an 8-bit KV cache: the largest
 * magnitude among all calibration tokens comes to the largest code.
 */
export function kvCacheScales(options: KvCacheScalesOptions = {}): LayerPass {
  const { type = 'float', strategy = 'tensor' } = options
  if (!Object.hasOwn(largestCodes, type)) throw new InvalidConfigError('type', `must be float or int, got ${type}`)
  if (strategy !== 'tensor' && strategy !== 'head')
    throw new InvalidConfigError('strategy', `must be tensor or head, got ${String(strategy)}`)
  const scheme: KvCacheScheme = { type, strategy }
  return definePass({ name: 'kvCacheScales', options: scheme, needsCalibration: true }, async (layer) => {
    if (layer.kind !== 'decoder') return
    if (layer.cacheScales !== null)
      throw new QuantizationError('an earlier pass has set scales of its KV cache; leave one of them out', {
        layer: layer.name,
      })
    const { numKvHeads } = layer.config
    const [keys, values] = [new Float32Array(numKvHeads), new Float32Array(numKvHeads)]
    await layer.observeCache((rows) => {
      raiseTo(keys, rows.keys)
      raiseTo(values, rows.values)
    })
    layer.setCacheScales({ scheme, keys: scalesOf(keys, scheme), values: scalesOf(values, scheme) })
  })
}

/** Raises `largest`, by head, to the magnitudes of `[n, numHeads, headDim]`; NaN stays. */
function raiseTo(largest: Float32Array, rows: Tensor3D): void {
  const [, numHeads, headDim] = rows.shape
  rows.dataSync<'float32'>().forEach((value, i) => {
    const head = Math.floor(i / headDim) % numHeads
    largest[head] = Math.max(largest[head]!, Math.abs(value))
  })
}

function scalesOf(byHead: Float32Array, { type, strategy }: KvCacheScheme): Float32Array {
  const largest = strategy === 'head' ? byHead : Float32Array.of(Math.max(...byHead))
  return largest.map((value) => {
    const scale = Math.fround(value / largestCodes[type])
    return scale === 0 ? smallestScale : scale
  })
}
