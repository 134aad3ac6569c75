import { codeValues } from '@octavo/core/quantization'
import { groupWidth, observeScales } from '../quantize/observe-scales.ts'
import { createRounder } from '../quantize/rounder.ts'
import { schemeFormat, schemeGroups } from '../quantize/scheme-format.ts'
import type { WeightMatrix } from '../quantize/weight-matrix.ts'
import type { WeightScheme } from '../weight-scheme.ts'

/** Rounds the values to what their nearest codes stand for, in place. @throws QuantizationError where one is not finite */
export function roundValues(matrix: WeightMatrix, scheme: WeightScheme): void {
  const { values, rows, cols } = matrix
  const scales = observeScales(matrix, scheme)
  const rounder = createRounder(scheme)
  const table = codeValues(schemeFormat(scheme))
  const [width, groups] = [groupWidth(scheme, cols), schemeGroups(scheme, cols)]
  const codes = new Uint8Array(Math.min(width, cols))
  for (let row = 0; row < rows; row++) {
    for (let group = 0; group < groups; group++) {
      const start = row * cols + group * width
      const end = Math.min(start + width, (row + 1) * cols)
      const place = row * groups + group
      const scale = scales.values[place]!
      const zero = scales.zeros?.[place] ?? 0
      rounder.codesOf({ values, start, end, scale, zero }, codes, 0)
      for (let at = start; at < end; at++) values[at] = (table[codes[at - start]!]! - zero) * scale
    }
  }
}
