import type { GroupedWeight } from '@octavo/core/quantization'
import type { WeightScheme } from '../weight-scheme.ts'
import { groupWidth, observeScales } from './observe-scales.ts'
import { packWeight } from './pack-weight.ts'
import { createRounder } from './rounder.ts'
import { checkScheme, schemeFormat, schemeGroups } from './scheme-format.ts'
import type { WeightMatrix } from './weight-matrix.ts'

/**
 * Each weight to its nearest code.
 *
 * @throws InvalidConfigError for a scheme that no weight can have.
 * @throws QuantizationError where a weight is not finite.
 */
export function quantizeToNearest(matrix: WeightMatrix, scheme: WeightScheme): GroupedWeight {
  checkScheme(scheme)
  const { values, rows, cols } = matrix
  const scales = observeScales(matrix, scheme)
  const codes = new Uint8Array(rows * cols)
  const rounder = createRounder(scheme)
  const [width, groups] = [groupWidth(scheme, cols), schemeGroups(scheme, cols)]
  for (let row = 0; row < rows; row++) {
    for (let group = 0; group < groups; group++) {
      const start = row * cols + group * width
      const end = Math.min(start + width, (row + 1) * cols)
      const place = row * groups + group
      const run = { values, start, end, scale: scales.values[place]!, zero: scales.zeros?.[place] ?? 0 }
      rounder.codesOf(run, codes, start)
    }
  }
  return packWeight(schemeFormat(scheme), [rows, cols], { codes, scales, order: null })
}
