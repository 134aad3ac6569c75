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
  /** `[rows, cols]` = `[out, in]` of the whole concatenation, before `rows` or `rowOrder` pick from it. */
  readonly expectedShape: readonly [rows: number, cols: number]
  /** The checkpoint has `[in, out]` (GPT-2's Conv1D, gpt-oss's experts): transpose every part. Dense formats only. */
  readonly transpose?: boolean
  /** For stacks `[n, rows, cols]`: take matrix `matrixIndex` of every part. */
  readonly matrixIndex?: number
  /** Keep these rows of the concatenation only. */
  readonly rows?: RowRange
  /** Row `i` of the result is row `rowOrder[i]` of the concatenation: selects, reorders, or both. Excludes `rows`. */
  readonly rowOrder?: Int32Array
}

/** One tensor's share of a concatenation of rows. */
export interface MatrixPart {
  readonly info: WeightInfo
  /** First stored row: not 0 for a matrix inside a stack. */
  readonly storedStart: number
  readonly storedRows: number
  readonly storedCols: number
  readonly isTransposed: boolean
  /** Rows of the concatenation before this part, and in it. */
  readonly start: number
  readonly rows: number
}

/** Consecutive rows of one part that become consecutive rows of the result. */
export interface MatrixRun {
  readonly part: MatrixPart
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
    const part = resolvePart(requireWeight(source, name), options, start)
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

function resolvePart(info: WeightInfo, options: MatrixSelection, start: number): MatrixPart {
  const { matrixIndex } = options
  const isTransposed = options.transpose === true && info.isConv1dTransposed !== true
  const storedCols = weightCols(info)
  let storedStart = 0
  let storedRows = weightRows(info)
  if (matrixIndex !== undefined) {
    const stackSize = info.shape[0] ?? 0
    if (info.shape.length !== 3 || matrixIndex >= stackSize) {
      const found = `[${info.shape.join(', ')}]`
      throw new CheckpointError(
        info.file,
        `expected a stack [n, rows, cols] with n > ${matrixIndex}, found shape ${found}`,
        { tensor: info.name },
      )
    }
    storedRows /= stackSize
    storedStart = matrixIndex * storedRows
  }
  if (isTransposed && !isDense(info.format)) {
    throw new CheckpointError(
      info.file,
      `a matrix stored as ${info.format} blocks can't be transposed; use a dense checkpoint`,
      { tensor: info.name },
    )
  }
  return {
    info,
    storedStart,
    storedRows,
    storedCols,
    isTransposed,
    start,
    rows: isTransposed ? storedCols : storedRows,
  }
}

function partCols(part: MatrixPart): number {
  return part.isTransposed ? part.storedRows : part.storedCols
}

/** The rows that the selection keeps, in the order of the result. */
export function planRuns(parts: readonly MatrixPart[], selection: MatrixSelection): MatrixRun[] {
  return cutAtParts(parts, selectRows(selection))
}

/** Runs of consecutive rows, as `[start, count]` in the concatenation, in result order. */
function* selectRows(options: MatrixSelection): Generator<[start: number, count: number]> {
  const total = options.expectedShape[0]
  const { rowOrder } = options
  if (rowOrder === undefined) {
    const { start, end } = options.rows ?? { start: 0, end: total }
    assert(start >= 0 && start <= end && end <= total, `rows ${start}..${end} of ${total}`)
    yield [start, end - start]
    return
  }
  for (let i = 0; i < rowOrder.length;) {
    const start = rowOrder[i]!
    let count = 1
    while (i + count < rowOrder.length && rowOrder[i + count] === start + count) count++
    assert(start >= 0 && start + count <= total, `row ${start + count - 1} of ${total}`)
    yield [start, count]
    i += count
  }
}

/** Cuts the selected runs at the borders of the parts. */
function cutAtParts(parts: readonly MatrixPart[], selected: Iterable<[start: number, count: number]>): MatrixRun[] {
  const runs: MatrixRun[] = []
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
