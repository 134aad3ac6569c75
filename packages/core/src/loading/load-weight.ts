import type { BackendPack } from '../backends/backend-pack.ts'
import { CheckpointError } from '../errors.ts'
import { dequantizeRow, encodeRow } from '../tensor/dequantize.ts'
import { isDense, rowBytes, type DType, type WeightFormat } from '../tensor/dtype.ts'
import type { FillWeight, PackedWeight, StoredRows } from '../tensor/packed-weight.ts'
import { assert } from '../util/assert.ts'
import { planRuns, resolveParts, type MatrixPart, type MatrixRun, type MatrixSelection } from './matrix-parts.ts'
import { packColumns } from './pack-columns.ts'
import { requireWeight, weightCols, type WeightInfo, type WeightSource } from './weight-source.ts'

/** Scratch for conversion and transposition; same-format rows need none. */
const maxChunkBytes = 4 * 1024 * 1024

/** Rounds to infinity in float16. */
const float16Overflow = 65520

export interface LoadMatrixOptions extends MatrixSelection {
  /** 'auto' keeps the stored format, which all parts must share (`canConcatenate`). */
  readonly dtype: DType | 'auto'
}

/** Where the values go, and in which format. */
interface Destination {
  readonly target: Uint8Array
  readonly format: WeightFormat
}

/**
 * Loads one weight matrix into the backend's memory. Rows in their stored format go from the file straight to where the kernels
 * read them, read by the backend itself where it can; conversion and transposition pass through a scratch of a few MiB.
 *
 * Throws CheckpointError (file, tensor, expected, found) for a missing tensor, a wrong shape or an impossible conversion.
 */
export function loadMatrix(
  source: WeightSource,
  pack: Pick<BackendPack, 'packWeight'>,
  options: LoadMatrixOptions,
): PackedWeight {
  const parts = resolveParts(source, options)
  const cols = options.expectedShape[1]
  const runs = planRuns(parts, options)
  const rows = runs.reduce((sum, run) => sum + run.count, 0)
  const format = targetFormat(parts, options.dtype)
  const fill: FillWeight = (bytes) => {
    const stride = rowBytes(format, cols)
    assert(bytes.length === rows * stride, `packWeight offers ${bytes.length} bytes for ${rows} rows of ${stride}`)
    for (const part of parts) {
      if (part.isTransposed) readTransposed(source, { part, runs }, { target: bytes, format })
    }
    for (const run of runs) {
      if (run.part.isTransposed) continue
      const target = bytes.subarray(run.to * stride, (run.to + run.count) * stride)
      if (run.part.info.format === format) readStored(source, run, target)
      else readConverted(source, run, { target, format })
    }
  }
  const stored = locateRuns(source, runs, format)
  if (options.cols === undefined) return pack.packWeight({ format, rows, cols }, fill, stored)
  const { file, name } = parts[0]!.info
  return packColumns(pack, { spec: { format, rows, cols }, fill, stored }, { cols: options.cols, file, name })
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

/** Where the matrix lies in files row by row; `null` where something must be done to it first. */
function locateRuns(
  source: WeightSource,
  runs: readonly MatrixRun[],
  format: WeightFormat,
): readonly StoredRows[] | null {
  const located: StoredRows[] = []
  for (const { part, start, count } of runs) {
    if (part.isTransposed || part.info.format !== format) return null
    const rows = source.locate(part.info.name, { start, end: start + count })
    if (rows === null) return null
    located.push(...rows)
  }
  return located
}

function readStored(source: WeightSource, run: MatrixRun, target: Uint8Array): void {
  source.read(run.part.info.name, target, { start: run.start, end: run.start + run.count })
}

function readConverted(source: WeightSource, run: MatrixRun, { target, format }: Destination): void {
  const { info, storedCols: cols } = run.part
  assert(isDense(format), `conversion to ${format}`)
  const storedStride = rowBytes(info.format, cols)
  const stride = rowBytes(format, cols)
  const chunkRows = Math.min(run.count, Math.max(1, Math.floor(maxChunkBytes / storedStride)))
  const chunk = new Uint8Array(chunkRows * storedStride)
  const row = new Float32Array(cols)
  for (let done = 0; done < run.count; done += chunkRows) {
    const count = Math.min(chunkRows, run.count - done)
    const start = run.start + done
    source.read(info.name, chunk.subarray(0, count * storedStride), { start, end: start + count })
    for (let i = 0; i < count; i++) {
      dequantizeRow(info.format, chunk, i * storedStride, row, cols)
      if (format === 'float16') checkFloat16(row, info)
      encodeRow(format, row, target, (done + i) * stride)
    }
  }
}

interface TransposedPart {
  readonly part: MatrixPart
  /** Of all parts. */
  readonly runs: readonly MatrixRun[]
}

/** Row `run.to + r` of the result is stored column `run.start + r`: reads the stored rows once, in chunks, and scatters them. */
function readTransposed(source: WeightSource, { part, runs }: TransposedPart, { target, format }: Destination): void {
  const { info, storedRows, storedCols } = part
  assert(isDense(format), `transposition to ${format}`)
  const own = runs.filter((run) => run.part === part)
  const elementBytes = rowBytes(format, 1)
  const chunkRows = Math.min(storedRows, Math.max(1, Math.floor(maxChunkBytes / rowBytes('float32', storedCols))))
  const stride = rowBytes(info.format, storedCols)
  const chunk = new Uint8Array(chunkRows * stride)
  const values = new Float32Array(storedCols)
  const encoded = new Uint8Array(storedCols * elementBytes)
  for (let done = 0; done < storedRows; done += chunkRows) {
    const count = Math.min(chunkRows, storedRows - done)
    source.read(info.name, chunk.subarray(0, count * stride), { start: done, end: done + count })
    for (let i = 0; i < count; i++) {
      if (info.format === format) encoded.set(chunk.subarray(i * stride, (i + 1) * stride))
      else {
        dequantizeRow(info.format, chunk, i * stride, values, storedCols)
        if (format === 'float16') checkFloat16(values, info)
        encodeRow(format, values, encoded, 0)
      }
      for (const run of own) scatterColumn(encoded, target, { run, column: done + i, storedRows, elementBytes })
    }
  }
}

function scatterColumn(
  encoded: Uint8Array,
  target: Uint8Array,
  place: { run: MatrixRun; column: number; storedRows: number; elementBytes: number },
): void {
  const { run, column, storedRows, elementBytes } = place
  for (let r = 0; r < run.count; r++) {
    const from = (run.start + r) * elementBytes
    const to = ((run.to + r) * storedRows + column) * elementBytes
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
