import { encodeRow, widenRow } from '@octavo/core/loading'
import { numGroups, planesOf, QuantizationError } from '@octavo/core/quantization'
import type { GroupedWeight } from '@octavo/core/quantization'

/**
 * The same weight with its scales in float16, as GPTQ's and AWQ's layouts have them.
 * @throws QuantizationError naming a scale that is none
 */
export function withFloat16Scales(weight: GroupedWeight, module: string): GroupedWeight {
  const { format, rows, cols, planes } = weight
  const { scaleDtype } = format
  if (scaleDtype === 'float16') return weight
  const from = planesOf(weight)
  const spec = { format: { ...format, scaleDtype: 'float16' as const }, rows, cols }
  const to = planesOf(spec)
  const values = new Float32Array(rows * numGroups(format, cols))
  widenRow(
    scaleDtype,
    planes.subarray(from.scales.offset, from.scales.offset + from.scales.sizeInBytes),
    values,
    values.length,
  )
  const out = new Uint8Array(to.sizeInBytes)
  out.set(planes.subarray(0, from.scales.offset))
  encodeRow('float16', values, out, to.scales.offset)
  const narrowed = new Float32Array(values.length)
  widenRow('float16', out.subarray(to.scales.offset, to.scales.offset + to.scales.sizeInBytes), narrowed, values.length)
  const wrong = values.findIndex((value, i) => value !== narrowed[i])
  if (wrong >= 0)
    throw new QuantizationError(
      `its scale ${values[wrong]} (${scaleDtype}) is no float16, which this layout stores; convert to compressed-tensors`,
      { module },
    )
  if (from.zeros !== null && to.zeros !== null)
    out.set(planes.subarray(from.zeros.offset, from.zeros.offset + from.zeros.sizeInBytes), to.zeros.offset)
  return { ...spec, planes: out }
}
