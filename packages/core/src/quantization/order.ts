import { CheckpointError } from '../errors.ts'
import type { WeightView } from '../loading/weight-view.ts'
import { requireRaw } from './grouped-tensors.ts'
import { readInt32 } from './raw-matrix.ts'

export interface OrderedColumns {
  readonly cols: number
  readonly groupSize: number | 'channel'
  readonly numGroups: number
}

/**
 * The group of each column; `null` where columns are in groups as they stand: there is no such tensor, it was never filled, or
 * it says so.
 */
export function findOrder(
  source: WeightView,
  name: string,
  { cols, groupSize, numGroups }: OrderedColumns,
): Int32Array | null {
  if (source.raw(name) === null) return null
  const tensor = requireRaw(source, name, { dtypes: ['int32'], shape: [cols] })
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
