import type { BackendPack } from '../backends/backend-pack.ts'
import { CheckpointError } from '../errors.ts'
import { dequantizeRow, encodeRow } from '../tensor/dequantize.ts'
import { isDense, rowBytes, type DType, type WeightFormat } from '../tensor/dtype.ts'
import type { PackedWeight } from '../tensor/packed-weight.ts'
import { assert } from '../util/assert.ts'
import { weightCols, weightRows, type RowRange, type WeightInfo, type WeightSource } from './weight-source.ts'

/** Scratch for conversion and transposition; same-format rows need none. */
const maxChunkBytes = 4 * 1024 * 1024

/** Rounds to infinity in float16. */
const float16Overflow = 65520

export interface LoadMatrixOptions {
  /** One tensor, or several whose rows are put one under the other. */
  readonly names: readonly string[]
  /** 'auto' keeps the stored format; parts of different formats then become float32: keep them apart where `canConcatenate` says no. */
  readonly dtype: DType | 'auto'
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

interface Part {
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
/** Where the values go, and in which format. */
interface Destination {
  readonly target: Uint8Array
  readonly format: WeightFormat
}

interface Run {
  readonly part: Part
  /** Relative to the part. */
  readonly start: number
  readonly count: number
  /** First row in the result. */
  readonly to: number
}

/**
 * Loads one weight matrix into the backend's memory. Rows in their stored format go from the file straight to where the kernels
 * read them; conversion and transposition pass through a scratch of a few MiB.
 *
 * Throws CheckpointError (file, tensor, expected, found) for a missing tensor, a wrong shape or an impossible conversion.
 */
export function loadMatrix(
  source: WeightSource,
  pack: Pick<BackendPack, 'packWeight'>,
  options: LoadMatrixOptions,
): PackedWeight {
  assert(options.rows === undefined || options.rowOrder === undefined, 'loadMatrix takes rows or rowOrder, not both')
  const parts = resolveParts(source, options)
  const cols = options.expectedShape[1]
  const runs = planRuns(parts, selectRows(options))
  const rows = runs.reduce((sum, run) => sum + run.count, 0)
  const format = targetFormat(parts, options.dtype)
  return pack.packWeight({ format, rows, cols }, (bytes) => {
    const stride = rowBytes(format, cols)
    assert(bytes.length === rows * stride, `packWeight offers ${bytes.length} bytes for ${rows} rows of ${stride}`)
    for (const run of runs) {
      const target = bytes.subarray(run.to * stride, (run.to + run.count) * stride)
      if (run.part.isTransposed) readTransposed(source, run, { target, format })
      else if (run.part.info.format === format) readStored(source, run, target)
      else readConverted(source, run, { target, format })
    }
  })
}

/** A vector, widened to float32. Throws CheckpointError where it is missing or is not a vector of `expectedLength`. */
export function loadVector(source: WeightSource, name: string, expectedLength: number): Float32Array {
  const info = requireWeight(source, name)
  if (info.shape.length !== 1 || info.shape[0] !== expectedLength) {
    throw new CheckpointError(info.file, `expected shape [${expectedLength}], found [${info.shape.join(', ')}]`, name)
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
      info.isConv1dTransposed === first.isConv1dTransposed &&
      weightCols(info) === weightCols(first),
  )
}

/** The tensor's description; throws CheckpointError where the checkpoint lacks it. */
export function requireWeight(source: WeightSource, name: string): WeightInfo {
  const info = source.get(name)
  if (info !== null) return info
  const similar = source.names().find((other) => other.endsWith(`.${name}`) || name.endsWith(`.${other}`))
  const hint = similar === undefined ? '' : ` (there is "${similar}")`
  throw new CheckpointError(source.file, `missing among ${source.names().length} tensors${hint}`, name)
}

function resolveParts(source: WeightSource, options: LoadMatrixOptions): Part[] {
  const parts: Part[] = []
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
    throw new CheckpointError(
      first.info.file,
      `expected shape ${expected}, found ${found}`,
      options.names.join('" + "'),
    )
  }
  return parts
}

function resolvePart(info: WeightInfo, options: LoadMatrixOptions, start: number): Part {
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
        info.name,
      )
    }
    storedRows /= stackSize
    storedStart = matrixIndex * storedRows
  }
  if (isTransposed && !isDense(info.format)) {
    throw new CheckpointError(
      info.file,
      `a matrix stored as ${info.format} blocks can't be transposed; use a dense checkpoint`,
      info.name,
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

function partCols(part: Part): number {
  return part.isTransposed ? part.storedRows : part.storedCols
}

function targetFormat(parts: readonly Part[], dtype: DType | 'auto'): WeightFormat {
  if (dtype !== 'auto') return dtype
  const format = parts[0]?.info.format ?? 'float32'
  return parts.every((part) => part.info.format === format) ? format : 'float32'
}

/** Runs of consecutive rows, as `[start, count]` in the concatenation, in result order. */
function* selectRows(options: LoadMatrixOptions): Generator<[start: number, count: number]> {
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
function planRuns(parts: readonly Part[], selected: Iterable<[start: number, count: number]>): Run[] {
  const runs: Run[] = []
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

function readStored(source: WeightSource, run: Run, target: Uint8Array): void {
  const start = run.part.storedStart + run.start
  source.read(run.part.info.name, target, { start, end: start + run.count })
}

function readConverted(source: WeightSource, run: Run, { target, format }: Destination): void {
  const { info, storedStart, storedCols: cols } = run.part
  assert(isDense(format), `conversion to ${format}`)
  const storedStride = rowBytes(info.format, cols)
  const stride = rowBytes(format, cols)
  const chunkRows = Math.min(run.count, Math.max(1, Math.floor(maxChunkBytes / storedStride)))
  const chunk = new Uint8Array(chunkRows * storedStride)
  const row = new Float32Array(cols)
  for (let done = 0; done < run.count; done += chunkRows) {
    const count = Math.min(chunkRows, run.count - done)
    const start = storedStart + run.start + done
    source.read(info.name, chunk.subarray(0, count * storedStride), { start, end: start + count })
    for (let i = 0; i < count; i++) {
      dequantizeRow(info.format, chunk, i * storedStride, row, cols)
      if (format === 'float16') checkFloat16(row, info)
      encodeRow(format, row, target, (done + i) * stride)
    }
  }
}

/** Result row `r` is stored column `run.start + r`; reads stored rows in chunks and scatters them. */
function readTransposed(source: WeightSource, run: Run, { target, format }: Destination): void {
  const { info, storedStart, storedRows, storedCols } = run.part
  assert(isDense(format), `transposition to ${format}`)
  const elementBytes = rowBytes(format, 1)
  const chunkRows = Math.min(storedRows, Math.max(1, Math.floor(maxChunkBytes / rowBytes('float32', storedCols))))
  const chunk = new Uint8Array(chunkRows * rowBytes(info.format, storedCols))
  const values = new Float32Array(storedCols)
  const encoded = new Uint8Array(storedCols * elementBytes)
  for (let done = 0; done < storedRows; done += chunkRows) {
    const count = Math.min(chunkRows, storedRows - done)
    const start = storedStart + done
    const stride = rowBytes(info.format, storedCols)
    source.read(info.name, chunk.subarray(0, count * stride), { start, end: start + count })
    for (let i = 0; i < count; i++) {
      if (info.format === format) encoded.set(chunk.subarray(i * stride, (i + 1) * stride))
      else {
        dequantizeRow(info.format, chunk, i * stride, values, storedCols)
        if (format === 'float16') checkFloat16(values, info)
        encodeRow(format, values, encoded, 0)
      }
      scatterColumn(encoded, target, { run, column: done + i, storedRows, elementBytes })
    }
  }
}

function scatterColumn(
  encoded: Uint8Array,
  target: Uint8Array,
  place: { run: Run; column: number; storedRows: number; elementBytes: number },
): void {
  const { run, column, storedRows, elementBytes } = place
  for (let r = 0; r < run.count; r++) {
    const from = (run.start + r) * elementBytes
    const to = (r * storedRows + column) * elementBytes
    for (let b = 0; b < elementBytes; b++) target[to + b] = encoded[from + b]!
  }
}

function checkFloat16(values: Float32Array, info: WeightInfo): void {
  for (const value of values) {
    if (Math.abs(value) >= float16Overflow && Number.isFinite(value)) {
      throw new CheckpointError(
        info.file,
        `the value ${value} exceeds float16's largest, 65504; load with dtype 'bfloat16' or 'float32'`,
        info.name,
      )
    }
  }
}
