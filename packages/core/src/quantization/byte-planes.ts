import { CheckpointError } from '../errors.ts'
import type { RawTensor } from '../loading/raw-tensor.ts'
import { encodeRow } from '../tensor/dequantize.ts'
import { rowBytes, type DType } from '../tensor/dtype.ts'
import type { ByteScales } from './float8-codes.ts'
import type { PlaneReader, Region } from './grouped-tensors.ts'
import { eachChunk, rowsPlane, withElements } from './raw-matrix.ts'

const windowBytes = 1024 * 1024

/** Rows of codes of four or eight bits, of a tensor whose bytes are the plane's. `cols` are codes. */
export function codesInBytes(tensor: RawTensor, cols: number, bits: 4 | 8): PlaneReader {
  const bytes = rowsPlane({ tensor: readAhead(tensor), cols: (cols * bits) / 8, elementBytes: 1 })
  return {
    read: (region, target) => bytes.read(inBytes(region, bits), target),
    // The plane's rows are whole words.
    locate: (region) => (isWhole(region, bits) ? (bytes.locate?.(inBytes(region, bits)) ?? null) : null),
  }
}

/** As `codesInBytes` of four bits, the first code of a byte in its high half. */
export function codesHighFirst(tensor: RawTensor, cols: number): PlaneReader {
  const { read } = codesInBytes(tensor, cols, 4)
  return {
    read(region, target) {
      read(region, target)
      const { bytes, stride } = target
      const { start, end } = inBytes(region, 4).cols
      for (let row = 0; row < region.rows.end - region.rows.start; row++)
        swapHalves(bytes.subarray(row * stride, row * stride + end - start))
    },
  }
}

function inBytes({ rows, cols: { start, end } }: Region, bits: number): Region {
  return { rows, cols: { start: (start * bits) / 8, end: Math.ceil((end * bits) / 8) } }
}

function isWhole({ cols: { start, end } }: Region, bits: number): boolean {
  return ((end - start) * bits) % 32 === 0
}

export function swapHalves(bytes: Uint8Array): void {
  const numWords = bytes.length >>> 2
  withElements(bytes.subarray(0, 4 * numWords), 4, (words) => {
    for (let i = 0; i < words.length; i++)
      words[i] = ((words[i]! & 0x0f0f_0f0f) << 4) | ((words[i]! >>> 4) & 0x0f0f_0f0f)
  })
  for (let i = 4 * numWords; i < bytes.length; i++) bytes[i] = (bytes[i]! << 4) | (bytes[i]! >>> 4)
}

export interface ByteScalesPlane {
  readonly tensor: RawTensor
  /** Scales of a row. */
  readonly cols: number
  readonly scales: ByteScales
  /** Which holds them exactly. */
  readonly dtype: DType
}

/** A plane of scales that the file has as bytes. */
export function byteScalesPlane({ tensor, cols, scales, dtype }: ByteScalesPlane): PlaneReader {
  const matrix = { tensor: readAhead(tensor), cols, elementBytes: 1 } as const
  const width = rowBytes(dtype, 1)
  const encoded = new Uint8Array(scales.length * width)
  encodeRow(dtype, scales, encoded, 0)
  return {
    read(region, { bytes: out, stride }) {
      const count = region.cols.end - region.cols.start
      eachChunk(matrix, region, (chunk) => {
        for (let i = 0; i < chunk.count; i++) {
          const first = i * chunk.rowStride + chunk.offset
          let to = (chunk.from + i - region.rows.start) * stride
          for (let at = first; at < first + count; at++) {
            const code = chunk.bytes[at]!
            if (!Number.isFinite(scales[code])) throw noScale(tensor, chunk.from + i, code)
            for (let b = 0; b < width; b++) out[to++] = encoded[code * width + b]!
          }
        }
      })
    },
  }
}

function noScale({ name, file }: RawTensor, row: number, byte: number): CheckpointError {
  return new CheckpointError(file, `row ${row} has a scale stored as ${byte}, which is no finite number`, {
    tensor: name,
  })
}

/** A tensor whose short reads, one behind the other, come from a longer one: alternating rows are picked one by one. */
export function readAhead(tensor: RawTensor): RawTensor {
  let [first, window] = [0, new Uint8Array(0)]
  return {
    ...tensor,
    read(bytes, start = 0) {
      if (bytes.length > windowBytes / 4) return tensor.read(bytes, start)
      if (start < first || start + bytes.length > first + window.length) {
        window = new Uint8Array(Math.min(windowBytes, tensor.sizeInBytes - start))
        first = start
        tensor.read(window, start)
      }
      bytes.set(window.subarray(start - first, start - first + bytes.length))
    },
  }
}
