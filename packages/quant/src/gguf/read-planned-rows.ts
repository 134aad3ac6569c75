import { requireWeight, rowBytes, weightCols, type WeightView } from '@octavo/core/loading'
import type { PlannedTensor, RowsOf } from './gguf-plan.ts'

/** Of float32 values at once: 8 MiB. */
const maxChunkElements = 2 * 1024 * 1024

/** Rows of a planned tensor as the file has them: to be quantized, or in its format already. */
export type PlannedRows = { readonly values: Float32Array } | { readonly bytes: Uint8Array }

/** A planned tensor's rows from first to last, in chunks. */
export function* readPlannedRows(view: WeightView, tensor: PlannedTensor): Generator<PlannedRows> {
  const { values, parts, shape } = tensor
  if (values !== null) {
    yield { values }
    return
  }
  const isVector = shape.length === 1 || tensor.name.endsWith('.bias')
  for (const part of parts)
    yield* isVector ? [{ values: readVector(view, tensor, part) }] : readMatrixRows(view, tensor, part)
}

function readVector(view: WeightView, { headDim, shift }: PlannedTensor, part: RowsOf): Float32Array {
  const all = view.readFloat32(part.name)
  const values = Float32Array.from({ length: part.count }, (_, i) => all[part.first + i * part.step]! + shift)
  if (headDim !== null) interleave(new Uint8Array(values.buffer), headDim, 4)
  return values
}

function* readMatrixRows(view: WeightView, tensor: PlannedTensor, part: RowsOf): Generator<PlannedRows> {
  const info = requireWeight(view, part.name)
  const cols = tensor.shape.at(-1)!
  const { headDim, shift, format } = tensor
  const unit = headDim ?? 1
  const chunkRows = Math.max(unit, Math.floor(maxChunkElements / cols / unit) * unit)
  const isTransposed = info.orientation === 'in-out'
  const transposed = isTransposed ? transpose(view.readFloat32(part.name), weightCols(info)) : null
  const isCopied = !isTransposed && part.step === 1 && shift === 0 && info.format === format
  for (let done = 0; done < part.count; done += chunkRows) {
    const count = Math.min(chunkRows, part.count - done)
    const start = part.first + done * part.step
    if (isCopied) {
      const stride = rowBytes(format, cols)
      const bytes = new Uint8Array(count * stride)
      view.read(part.name, bytes, { start, end: start + count })
      if (headDim !== null) interleave(bytes, headDim, stride)
      yield { bytes }
      continue
    }
    const span = (count - 1) * part.step + 1
    const rows =
      transposed === null
        ? view.readFloat32(part.name, { start, end: start + span })
        : transposed.subarray(start * cols, (start + span) * cols)
    const values = part.step === 1 && transposed === null ? rows : pickRows(rows, { count, step: part.step, cols })
    if (headDim !== null) interleave(new Uint8Array(values.buffer), headDim, cols * 4)
    yield { values }
  }
}

function pickRows(
  rows: Float32Array,
  { count, step, cols }: { count: number; step: number; cols: number },
): Float32Array {
  const values = new Float32Array(count * cols)
  for (let row = 0; row < count; row++)
    values.set(rows.subarray(row * step * cols, row * step * cols + cols), row * cols)
  return values
}

function transpose(values: Float32Array, cols: number): Float32Array {
  const rows = values.length / cols
  const out = new Float32Array(values.length)
  for (let row = 0; row < rows; row++)
    for (let col = 0; col < cols; col++) out[col * rows + row] = values[row * cols + col]!
  return out
}

/** llama.cpp keeps the rotary pair (i, i + half) of a head as rows (2i, 2i + 1). `bytes` are whole heads of rows of `stride`. */
function interleave(bytes: Uint8Array, headDim: number, stride: number): void {
  const half = headDim / 2
  const size = headDim * stride
  for (let start = 0; start < bytes.length; start += size) {
    const head = bytes.slice(start, start + size)
    for (let i = 0; i < half; i++) {
      bytes.set(head.subarray(i * stride, (i + 1) * stride), start + 2 * i * stride)
      bytes.set(head.subarray((half + i) * stride, (half + i + 1) * stride), start + (2 * i + 1) * stride)
    }
  }
}
