import { CheckpointError } from '../errors.ts'
import { dequantizeRow, encodeRow } from '../tensor/dequantize.ts'
import { isDense, rowBytes, type WeightFormat } from '../tensor/dtype.ts'
import { assert } from '../util/assert.ts'
import type { MatrixPart, MatrixRun } from './matrix-parts.ts'
import type { RowRange, WeightInfo, WeightSource } from './weight-source.ts'

/** Scratch for conversion, transposition and some of the columns; whole rows in their stored format need none. */
const maxChunkBytes = 4 * 1024 * 1024

/** Rounds to infinity in float16. */
const float16Overflow = 65520

export interface MatrixReading {
  readonly parts: readonly MatrixPart[]
  readonly runs: readonly MatrixRun[]
  /** Of each row: what is kept. */
  readonly cols: RowRange
  /** Of the result. */
  readonly format: WeightFormat
}

/** Writes rows of `cols` in `format`, one behind the other, into `target`. */
export function readMatrix(source: WeightSource, reading: MatrixReading, target: Uint8Array): void {
  const { parts, runs, cols, format } = reading
  const stride = rowBytes(format, cols.end - cols.start)
  for (const part of parts) if (part.isTransposed) readTransposed(source, { ...reading, part }, target)
  for (const run of runs) {
    const { info, isTransposed, storedCols } = run.part
    if (isTransposed) continue
    const bytes = target.subarray(run.to * stride, (run.to + run.count) * stride)
    if (info.format === format && cols.end - cols.start === storedCols) {
      source.read(info.name, bytes, { start: run.start, end: run.start + run.count })
    } else readRows(source, { run, cols, format }, bytes)
  }
}

interface RowsReading extends Pick<MatrixReading, 'cols' | 'format'> {
  readonly run: MatrixRun
}

/** Rows that are not wanted as they are: in another format, or not all of their columns. */
function readRows(source: WeightSource, { run, cols, format }: RowsReading, target: Uint8Array): void {
  const { info, storedCols } = run.part
  const stride = rowBytes(format, cols.end - cols.start)
  const storedStride = rowBytes(info.format, storedCols)
  const put = info.format === format ? copyColumns(info, cols) : convertColumns({ ...run.part, cols, format })
  const chunkRows = Math.min(run.count, Math.max(1, Math.floor(maxChunkBytes / storedStride)))
  const chunk = new Uint8Array(chunkRows * storedStride)
  for (let done = 0; done < run.count; done += chunkRows) {
    const count = Math.min(chunkRows, run.count - done)
    const start = run.start + done
    source.read(info.name, chunk.subarray(0, count * storedStride), { start, end: start + count })
    for (let i = 0; i < count; i++) put(chunk, i * storedStride, target.subarray((done + i) * stride))
  }
}

/** Takes one stored row, from a place in `bytes`, to `target`. */
type PutRow = (bytes: Uint8Array, from: number, target: Uint8Array) => void

function copyColumns({ format }: WeightInfo, cols: RowRange): PutRow {
  const [first, end] = [rowBytes(format, cols.start), rowBytes(format, cols.end)]
  return (bytes, from, target) => target.set(bytes.subarray(from + first, from + end))
}

function convertColumns(reading: MatrixPart & Pick<MatrixReading, 'cols' | 'format'>): PutRow {
  const { info, storedCols, cols, format } = reading
  assert(isDense(format), `conversion to ${format}`)
  const row = new Float32Array(storedCols)
  const kept = row.subarray(cols.start, cols.end)
  return (bytes, from, target) => {
    dequantizeRow(info.format, bytes, from, row, storedCols)
    if (format === 'float16') checkFloat16(kept, info)
    encodeRow(format, kept, target, 0)
  }
}

interface TransposedReading extends MatrixReading {
  readonly part: MatrixPart
}

/**
 * Row `run.to + r` of the result is stored column `run.start + r`, and its columns are stored rows: reads those once, in
 * chunks, and scatters them.
 */
function readTransposed(source: WeightSource, reading: TransposedReading, target: Uint8Array): void {
  const { part, runs, cols, format } = reading
  const { info, storedCols } = part
  assert(isDense(format), `transposition to ${format}`)
  const own = runs.filter((run) => run.part === part)
  const elementBytes = rowBytes(format, 1)
  const width = cols.end - cols.start
  const chunkRows = Math.min(width, Math.max(1, Math.floor(maxChunkBytes / rowBytes('float32', storedCols))))
  const stride = rowBytes(info.format, storedCols)
  const chunk = new Uint8Array(chunkRows * stride)
  const values = new Float32Array(storedCols)
  const encoded = new Uint8Array(storedCols * elementBytes)
  for (let done = 0; done < width; done += chunkRows) {
    const count = Math.min(chunkRows, width - done)
    const start = cols.start + done
    source.read(info.name, chunk.subarray(0, count * stride), { start, end: start + count })
    for (let i = 0; i < count; i++) {
      if (info.format === format) encoded.set(chunk.subarray(i * stride, (i + 1) * stride))
      else {
        dequantizeRow(info.format, chunk, i * stride, values, storedCols)
        if (format === 'float16') checkFloat16(values, info)
        encodeRow(format, values, encoded, 0)
      }
      for (const run of own) scatterColumn(encoded, target, { run, column: done + i, width, elementBytes })
    }
  }
}

function scatterColumn(
  encoded: Uint8Array,
  target: Uint8Array,
  place: { run: MatrixRun; column: number; width: number; elementBytes: number },
): void {
  const { run, column, width, elementBytes } = place
  for (let r = 0; r < run.count; r++) {
    const from = (run.start + r) * elementBytes
    const to = ((run.to + r) * width + column) * elementBytes
    for (let b = 0; b < elementBytes; b++) target[to + b] = encoded[from + b]!
  }
}

function checkFloat16(values: Float32Array, info: WeightInfo): void {
  for (const value of values) {
    if (Math.abs(value) >= float16Overflow && Number.isFinite(value)) {
      throw new CheckpointError(
        info.file,
        `the value ${value} exceeds float16's largest, 65504; load with dtype 'bfloat16' or 'float32'`,
        { tensor: info.name },
      )
    }
  }
}
