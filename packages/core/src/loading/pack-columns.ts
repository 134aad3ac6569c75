import type { BackendPack } from '../backends/backend-pack.ts'
import { CheckpointError } from '../errors.ts'
import { isDense, rowBytes, weightFormats } from '../tensor/dtype.ts'
import type { WeightFormat } from '../tensor/dtype.ts'
import type { FillWeight, PackedWeight, PackedWeightSpec, StoredRows } from '../tensor/packed-weight.ts'
import type { RowRange } from './weight-source.ts'

/** The arguments of `packWeight`, for all columns. */
interface WholeMatrix {
  readonly spec: Omit<PackedWeightSpec, 'format'> & { readonly format: WeightFormat }
  readonly fill: FillWeight
  readonly stored: readonly StoredRows[] | null
}

/**
 * Packs a row-parallel shard's columns only: where the backend can't read them from the file, the whole matrix passes
 * through a buffer. Throws CheckpointError where the columns cut through blocks.
 */
export function packColumns(
  pack: Pick<BackendPack, 'packWeight'>,
  { spec, fill, stored }: WholeMatrix,
  { cols, file, name }: { cols: RowRange; file: string; name: string },
): PackedWeight {
  const { blockElements } = weightFormats[spec.format]
  if (!isDense(spec.format) && (cols.start % blockElements !== 0 || cols.end % blockElements !== 0)) {
    throw new CheckpointError(
      file,
      `columns ${cols.start}..${cols.end} cut through blocks of ${blockElements}; use fewer ranks or a dense checkpoint`,
      { tensor: name },
    )
  }
  const stride = rowBytes(spec.format, spec.cols)
  const from = rowBytes(spec.format, cols.start)
  const width = rowBytes(spec.format, cols.end - cols.start)
  const fillColumns: FillWeight = (bytes) => {
    const whole = new Uint8Array(spec.rows * stride)
    fill(whole)
    for (let row = 0; row < spec.rows; row++)
      bytes.set(whole.subarray(row * stride + from, row * stride + from + width), row * width)
  }
  const shifted = stored?.map((rows) => ({ ...rows, position: rows.position + from })) ?? null
  return pack.packWeight({ ...spec, cols: cols.end - cols.start }, fillColumns, shifted)
}
