import { CheckpointError } from '../errors.ts'
import type { RawTensor } from '../loading/raw-tensor.ts'
import { readInt32 } from './raw-matrix.ts'

/** The group of each column; `null` where columns are in groups as they stand, or where the tensor was never filled. */
export function readOrder(
  tensor: RawTensor,
  { groupSize, numGroups }: { readonly groupSize: number | 'channel'; readonly numGroups: number },
): Int32Array | null {
  const order = readInt32(tensor)
  if (order.every((group) => group === -1)) return null
  const col = order.findIndex((group) => group < 0 || group >= numGroups)
  if (col >= 0)
    throw new CheckpointError(
      tensor.file,
      `column ${col} is in group ${order[col]}, and there are ${numGroups} groups`,
      { tensor: tensor.name },
    )
  const isInOrder = order.every((group, i) => group === (groupSize === 'channel' ? 0 : Math.floor(i / groupSize)))
  return isInOrder ? null : order
}
