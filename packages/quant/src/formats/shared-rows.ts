import { planesOf } from '@octavo/core/quantization'
import type { GroupedWeight } from '@octavo/core/quantization'
import type { SharedRows } from './checkpoint-format.ts'

/**
 * Scales of a matrix or of blocks are repeated for each row in memory, and stored once: how many rows have the same, so that
 * storing them once loses nothing. Blocks are square.
 */
export function sharedRowsOf(weight: GroupedWeight): SharedRows {
  const { format, rows } = weight
  if (format.codebook !== 'e4m3') return 1
  if (format.groupSize === 'channel') return isShared(weight, rows) && rows > 1 ? 'all' : 1
  return isShared(weight, format.groupSize) ? format.groupSize : 1
}

function isShared(weight: GroupedWeight, height: number): boolean {
  const { offset, stride } = planesOf(weight).scales
  const { planes, rows } = weight
  for (let row = 0; row < rows; row++) {
    const [own, first] = [offset + row * stride, offset + (row - (row % height)) * stride]
    for (let i = 0; i < stride; i++) if (planes[own + i] !== planes[first + i]) return false
  }
  return true
}
