import type { CacheScales } from '../decoder-layer.ts'
import type { OpenedDecoder } from '../model/open-decoder.ts'
import { tensorOf } from './safetensors-file.ts'
import type { OutputTensor } from './safetensors-file.ts'

/** compressed-tensors' names and shapes: `model.layers.3.self_attn.k_scale`, `[1]` or `[numKvHeads, 1, 1]`. */
export function cacheScaleTensors(
  { view, design }: OpenedDecoder,
  layer: string,
  scales: CacheScales | null,
): OutputTensor[] {
  if (scales === null) return []
  const output = view.storedModule(`${layer}.${design.attention.output}`)
  const attention = output.slice(0, output.lastIndexOf('.'))
  const tensor = (name: string, values: Float32Array): OutputTensor =>
    tensorOf({
      name: `${attention}.${name}`,
      dtype: 'float32',
      shape: scales.scheme.strategy === 'head' ? [values.length, 1, 1] : [1],
      bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
    })
  return [tensor('k_scale', scales.keys), tensor('v_scale', scales.values)]
}
