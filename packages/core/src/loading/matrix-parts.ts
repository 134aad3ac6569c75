import { CheckpointError } from '../errors.ts'
import { isDense } from '../tensor/dtype.ts'
import { assert } from '../util/assert.ts'
import {
  requireWeight,
  weightCols,
  weightRows,
  type RowRange,
  type WeightInfo,
  type WeightSource,
} from './weight-source.ts'

/** Which matrix of a checkpoint: the rows of one or several tensors, or some of them. */
export interface MatrixSelection {
  /** One tensor, or several whose rows are put one under the other. */
  readonly names: readonly string[]
  /** `[rows, cols]` = `[out, in]` of the whole concatenation, before `rows` and `cols` pick from it. */
  readonly expectedShape: readonly [rows: number, cols: number]
  /** Rows of the concatenation to keep, in the order of the result; left out, all. */
  readonly rows?: readonly RowRange[]
  /** Columns to keep; left out, all. */
  readonly cols?: RowRange
}

/** One tensor's share of a concatenation of rows. */
export interface MatrixPart {
  readonly info: WeightInfo
  readonly storedRows: number
  readonly storedCols: number
  readonly isTransposed: boolean
  /** Rows of the concatenation before this part, and in it. */
  readonly start: number
  readonly rows: number
}

/** Rows of the concatenation before a part, and in it. */
type RowsOfPart = Pick<MatrixPart, 'start' | 'rows'>

/** Consecutive rows of one part that become consecutive rows of the result. */
export interface MatrixRun<P = MatrixPart> {
  readonly part: P
  /** Relative to the part. */
  readonly start: number
  readonly count: number
  /** First row in the result. */
  readonly to: number
}

/** Throws CheckpointError where a tensor is missing, or where together they do not have the expected shape. */
export function resolveParts(source: WeightSource, options: MatrixSelection): MatrixPart[] {
  const parts: MatrixPart[] = []
  let start = 0
  for (const name of options.names) {
    const part = resolvePart(requireWeight(source, name), start)
    parts.push(part)
    start += part.rows
  }
  const [rows, cols] = options.expectedShape
  const first = parts[0]
  assert(first !== undefined, 'loadMatrix needs at least one name')
  if (start !== rows || parts.some((part) => partCols(part) !== cols)) {
    const found = parts.map((part) => `[${part.info.shape.join(', ')}]`).join(' + ')
    const expected = parts.some((part) => part.isTransposed) ? `[${cols}, ${rows}]` : `[${rows}, ${cols}]`
    throw new CheckpointError(first.info.file, `expected shape ${expected}, found ${found}`, {
      tensor: options.names.join('" + "'),
    })
  }
  return parts
}

function resolvePart(info: WeightInfo, start: number): MatrixPart {
  const isTransposed = info.orientation === 'in-out'
  const storedCols = weightCols(info)
  const storedRows = weightRows(info)
  if (isTransposed && !isDense(info.format)) {
    throw new CheckpointError(
      info.file,
      `a matrix stored as ${info.format} blocks can't be transposed; use a dense checkpoint`,
      { tensor: info.name },
    )
  }
  return { info, storedRows, storedCols, isTransposed, start, rows: isTransposed ? storedCols : storedRows }
}

function partCols(part: MatrixPart): number {
  return part.isTransposed ? part.storedRows : part.storedCols
}

/** The rows that the selection keeps, in the order of the result. */
export function planRuns<P extends RowsOfPart>(parts: readonly P[], selection: MatrixSelection): MatrixRun<P>[] {
  return cutAtParts(parts, selectRows(selection))
}

/** Runs of consecutive rows, as `[start, count]` in the concatenation, in result order. */
function* selectRows({ expectedShape: [total], rows }: MatrixSelection): Generator<[start: number, count: number]> {
  let open: RowRange = { start: 0, end: 0 }
  for (const range of rows ?? [{ start: 0, end: total }]) {
    const { start, end } = range
    assert(start >= 0 && start <= end && end <= total, `rows ${start}..${end} of ${total}`)
    if (start === open.end) {
      open = { start: open.start, end }
      continue
    }
    if (open.end > open.start) yield [open.start, open.end - open.start]
    open = range
  }
  if (open.end > open.start) yield [open.start, open.end - open.start]
}

/** Cuts the selected runs at the borders of the parts. */
function cutAtParts<P extends RowsOfPart>(
  parts: readonly P[],
  selected: Iterable<[start: number, count: number]>,
): MatrixRun<P>[] {
  const runs: MatrixRun<P>[] = []
  let to = 0
  for (const [start, count] of selected) {
    for (const part of parts) {
      const from = Math.max(start, part.start)
      const end = Math.min(start + count, part.start + part.rows)
      if (from >= end) continue
      runs.push({ part, start: from - part.start, count: end - from, to })
      to += end - from
    }
  }
  return runs
}
