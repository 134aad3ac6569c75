import { encodeRow } from '@octavo/core/loading'
import { numGroups, planesOf } from '@octavo/core/quantization'
import type { GroupedFormat, GroupedWeight } from '@octavo/core/quantization'
import type { Scales } from './observe-scales.ts'

export interface QuantizedParts {
  readonly codes: Uint8Array // [rows, cols]
  readonly scales: Scales
  /** The group of each column; `null` where groups are neighbours. */
  readonly order: Int32Array | null
}

/** Lays codes, scales and zeros into the planes of a weight. */
export function packWeight(
  format: GroupedFormat,
  [rows, cols]: readonly [number, number],
  { codes, scales, order }: QuantizedParts,
): GroupedWeight {
  const spec = { format: { ...format, hasOrder: order !== null }, rows, cols }
  const layout = planesOf(spec)
  const planes = new Uint8Array(layout.sizeInBytes)
  const groups = numGroups(format, cols)
  for (let row = 0; row < rows; row++) {
    const stored = planes.subarray(layout.codes.offset + row * layout.codes.stride)
    packCodes(codes.subarray(row * cols, (row + 1) * cols), stored, format.bits)
    const own = scales.values.subarray(row * groups, (row + 1) * groups)
    encodeRow(format.scaleDtype, own, planes, layout.scales.offset + row * layout.scales.stride)
  }
  if (order !== null) planes.set(new Uint8Array(order.buffer, order.byteOffset, order.byteLength), layout.order!.offset)
  if (scales.zeros !== null) planes.set(scales.zeros, layout.zeros!.offset)
  return { ...spec, planes }
}

/** One stream of bits, the lowest first. */
function packCodes(codes: Uint8Array, stored: Uint8Array, bits: number): void {
  if (bits === 8) return stored.set(codes)
  let [pending, numPending, to] = [0, 0, 0]
  for (let i = 0; i < codes.length; i++) {
    pending |= codes[i]! << numPending
    numPending += bits
    if (numPending >= 8) {
      stored[to++] = pending
      pending >>>= 8
      numPending -= 8
    }
  }
  if (numPending > 0) stored[to] = pending
}
