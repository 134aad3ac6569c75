import type { BackendPack } from '../backends/backend-pack.ts'
import { CheckpointError } from '../errors.ts'
import { isDense, rowBytes, weightFormats, type DType, type WeightFormat } from '../tensor/dtype.ts'
import type { PackedWeight, StoredRows } from '../tensor/packed-weight.ts'
import { assert } from '../util/assert.ts'
import { planRuns, resolveParts, type MatrixPart, type MatrixSelection } from './matrix-parts.ts'
import { readMatrix, type MatrixReading } from './read-matrix.ts'
import { requireWeight, weightCols, type RowRange, type WeightSource } from './weight-source.ts'

export interface LoadMatrixOptions extends MatrixSelection {
  /** 'auto' keeps the stored format, which all parts must share (`canConcatenate`). */
  readonly dtype: DType | 'auto'
}

/**
 * Loads one weight matrix into the backend's memory. Rows in their stored format go from the file straight to where the kernels
 * read them, read by the backend itself where it can; conversion, transposition and columns that are left out pass through a
 * scratch of a few MiB.
 *
 * Throws CheckpointError (file, tensor, expected, found) for a missing tensor, a wrong shape, an impossible conversion or columns
 * that cut through blocks.
 */
export function loadMatrix(
  source: WeightSource,
  pack: Pick<BackendPack, 'packWeight'>,
  options: LoadMatrixOptions,
): PackedWeight {
  const parts = resolveParts(source, options)
  const runs = planRuns(parts, options)
  const cols = options.cols ?? { start: 0, end: options.expectedShape[1] }
  const format = targetFormat(parts, options.dtype)
  checkColumns(parts[0]!, cols, format)
  const reading = { parts, runs, cols, format }
  const spec = { format, rows: runs.reduce((sum, run) => sum + run.count, 0), cols: cols.end - cols.start }
  const bytes = spec.rows * rowBytes(format, spec.cols)
  return pack.packWeight(
    spec,
    (target) => {
      assert(target.length === bytes, `packWeight offers ${target.length} bytes for ${bytes}`)
      readMatrix(source, reading, target)
    },
    locateRuns(source, reading),
  )
}

/** A vector, widened to float32. Throws CheckpointError where it is missing or is not a vector of `expectedLength`. */
export function loadVector(source: WeightSource, name: string, expectedLength: number): Float32Array {
  const info = requireWeight(source, name)
  if (info.shape.length !== 1 || info.shape[0] !== expectedLength) {
    throw new CheckpointError(info.file, `expected shape [${expectedLength}], found [${info.shape.join(', ')}]`, {
      tensor: name,
    })
  }
  return source.readFloat32(name)
}

/** Whether all tensors exist and share format, orientation and columns, so that concatenating their rows converts nothing. */
export function canConcatenate(source: WeightSource, names: readonly string[]): boolean {
  const infos = names.map((name) => source.get(name))
  const first = infos[0] ?? null
  if (first === null) return false
  return infos.every(
    (info) =>
      info !== null &&
      info.format === first.format &&
      info.orientation === first.orientation &&
      weightCols(info) === weightCols(first),
  )
}

function targetFormat(parts: readonly MatrixPart[], dtype: DType | 'auto'): WeightFormat {
  if (dtype !== 'auto') return dtype
  const formats = new Set(parts.map((part) => part.info.format))
  const [format] = formats
  assert(format !== undefined && formats.size === 1, `loadMatrix: parts in ${[...formats].join(' and ')} become one`)
  return format
}

function checkColumns({ info }: MatrixPart, { start, end }: RowRange, format: WeightFormat): void {
  const { blockElements } = weightFormats[format]
  if (isDense(format) || (start % blockElements === 0 && end % blockElements === 0)) return
  throw new CheckpointError(
    info.file,
    `columns ${start}..${end} cut through blocks of ${blockElements}; use fewer ranks or a dense checkpoint`,
    { tensor: info.name },
  )
}

/** Where the matrix lies in files row by row; `null` where something must be done to it first. */
function locateRuns(source: WeightSource, { runs, cols, format }: MatrixReading): readonly StoredRows[] | null {
  const located: StoredRows[] = []
  const shift = rowBytes(format, cols.start)
  for (const { part, start, count } of runs) {
    if (part.isTransposed || part.info.format !== format) return null
    const rows = source.locate(part.info.name, { start, end: start + count })
    if (rows === null) return null
    located.push(...(shift === 0 ? rows : rows.map((run) => ({ ...run, position: run.position + shift }))))
  }
  return located
}
