import { CheckpointError } from '@octavo/core'
import { readGrouped } from '@octavo/core/quantization'
import type { GroupedTensors, GroupedWeight } from '@octavo/core/quantization'
import { scalesOf } from './grouped-blocks.ts'

/**
 * A module's weight in plain memory.
 * @throws CheckpointError for a scale that is no number: the result would look whole and compute nothing
 */
export function readFinite(tensors: GroupedTensors): GroupedWeight {
  const weight = readGrouped(tensors)
  const scales = scalesOf(weight)
  const wrong = scales.findIndex((scale) => !Number.isFinite(scale))
  if (wrong < 0) return weight
  const groups = scales.length / weight.rows
  throw new CheckpointError(
    tensors.file,
    `the scale of row ${Math.floor(wrong / groups)}, group ${wrong % groups} is ${scales[wrong]}; the checkpoint is damaged, download it again`,
    { tensor: tensors.module },
  )
}
