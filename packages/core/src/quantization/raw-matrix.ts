import type { RawTensor } from '../loading/raw-tensor.ts'
import { type DType, weightFormats } from '../tensor/dtype.ts'
import { assert } from '../util/assert.ts'
import type { PlaneReader, Region } from './grouped-tensors.ts'

/** Scratch of what is not read straight to where it goes. */
const maxChunkBytes = 4 * 1024 * 1024
/** A read of fewer bytes of each row costs more than whole rows. */
const minSliceBytes = 8 * 1024
const tile = 16

/** A tensor as a matrix of elements that are moved and not looked at. */
export interface RawMatrix {
  readonly tensor: RawTensor
  readonly cols: number
  readonly elementBytes: 1 | 2 | 4
}

type Elements = Uint8Array | Uint16Array | Uint32Array

/** Rows of the tensor are rows of the plane. */
export function rowsPlane({ tensor, cols, elementBytes }: RawMatrix): PlaneReader {
  const rowBytes = cols * elementBytes
  return {
    read(region, target) {
      const [first, width] = [region.cols.start * elementBytes, widthOf(region.cols) * elementBytes]
      const { rows } = region
      if (width === rowBytes && target.stride === rowBytes) {
        tensor.read(target.bytes.subarray(0, widthOf(rows) * rowBytes), rows.start * rowBytes)
        return
      }
      eachChunk({ tensor, cols, elementBytes }, region, ({ bytes, from, count, rowStride, offset }) => {
        for (let i = 0; i < count; i++) {
          const at = i * rowStride + offset
          target.bytes.set(bytes.subarray(at, at + width), (from + i - rows.start) * target.stride)
        }
      })
      assert(first <= rowBytes, 'a region within the row')
    },
    locate({ rows, cols: { start } }) {
      const place = tensor.locate()
      return (
        place && {
          ...place,
          position: place.position + rows.start * rowBytes + start * elementBytes,
          stride: rowBytes,
          count: widthOf(rows),
        }
      )
    },
  }
}

/** Columns of the tensor are rows of the plane. */
export function columnsPlane(matrix: RawMatrix): PlaneReader {
  const { elementBytes } = matrix
  return {
    read({ rows, cols }, target) {
      const stride = target.stride / elementBytes
      withElements(target.bytes, elementBytes, (out) => {
        eachChunk(matrix, { rows: cols, cols: rows }, ({ bytes, from, count, rowStride, offset }) => {
          const stored = elementsOf(bytes, elementBytes)
          transpose({
            stored,
            rowStride: rowStride / elementBytes,
            offset: offset / elementBytes,
            rows: count,
            cols: widthOf(rows),
            out,
            stride,
            outCol: from - cols.start,
          })
        })
      })
    },
  }
}

interface Chunk {
  /** Of `count` stored rows from `from` on. */
  readonly bytes: Uint8Array
  readonly from: number
  readonly count: number
  readonly rowStride: number
  /** Where in a row the region begins. */
  readonly offset: number
}

/** The region's rows a few at a time: whole, or where that is much less, only the columns that count. */
export function eachChunk(
  { tensor, cols, elementBytes }: RawMatrix,
  { rows, cols: kept }: Region,
  take: (chunk: Chunk) => void,
): void {
  const rowBytes = cols * elementBytes
  const [first, width] = [kept.start * elementBytes, widthOf(kept) * elementBytes]
  const isSliced = width >= minSliceBytes && width <= rowBytes / 2
  const rowStride = isSliced ? width : rowBytes
  const chunkRows = Math.max(1, Math.min(widthOf(rows), Math.floor(maxChunkBytes / Math.max(1, rowStride))))
  const bytes = new Uint8Array(chunkRows * rowStride)
  for (let from = rows.start; from < rows.end; from += chunkRows) {
    const count = Math.min(chunkRows, rows.end - from)
    if (isSliced)
      for (let i = 0; i < count; i++)
        tensor.read(bytes.subarray(i * rowStride, (i + 1) * rowStride), (from + i) * rowBytes + first)
    else tensor.read(bytes.subarray(0, count * rowStride), from * rowBytes)
    take({ bytes, from, count, rowStride, offset: isSliced ? 0 : first })
  }
}

interface Transposition {
  readonly stored: Elements
  readonly rowStride: number
  readonly offset: number
  readonly rows: number
  readonly cols: number
  readonly out: Elements
  readonly stride: number
  /** First column in `out`. */
  readonly outCol: number
}

/** In tiles, so that the lines of memory that one tile writes stay in the cache. */
function transpose({ stored, rowStride, offset, rows, cols, out, stride, outCol }: Transposition): void {
  for (let row = 0; row < rows; row += tile) {
    const rowEnd = Math.min(rows, row + tile)
    for (let col = 0; col < cols; col++) {
      let to = col * stride + outCol + row
      for (let r = row, from = row * rowStride + offset + col; r < rowEnd; r++, from += rowStride)
        out[to++] = stored[from]!
    }
  }
}

/** Views of bytes that may lie at any address: those that are not aligned are copied there and back. */
export function withElements(bytes: Uint8Array, elementBytes: 1 | 2 | 4, use: (out: Elements) => void): void {
  if (bytes.byteOffset % elementBytes === 0) {
    use(elementsOf(bytes, elementBytes))
    return
  }
  const copy = bytes.slice()
  use(elementsOf(copy, elementBytes))
  bytes.set(copy)
}

export function elementsOf(bytes: Uint8Array, elementBytes: 1 | 2 | 4): Elements {
  const length = Math.floor(bytes.length / elementBytes)
  if (elementBytes === 1) return bytes
  return elementBytes === 2
    ? new Uint16Array(bytes.buffer, bytes.byteOffset, length)
    : new Uint32Array(bytes.buffer, bytes.byteOffset, length)
}

function widthOf({ start, end }: { readonly start: number; readonly end: number }): number {
  return end - start
}

/** A whole tensor of 32-bit words. */
export function readWords(tensor: RawTensor): Uint32Array {
  const words = new Uint32Array(tensor.sizeInBytes / 4)
  tensor.read(new Uint8Array(words.buffer))
  return words
}

/** A whole tensor of int32 elements. */
export function readInt32(tensor: RawTensor): Int32Array {
  return new Int32Array(readWords(tensor).buffer)
}

/** Rows of codes, of a plane whose columns are the words that codes lie in. */
export function codesInWords(words: PlaneReader, bits: number): PlaneReader {
  const inWords = ({ rows, cols: { start, end } }: Region): Region => ({
    rows,
    cols: { start: (start * bits) / 32, end: Math.ceil((end * bits) / 32) },
  })
  return {
    read: (region, target) => words.read(inWords(region), target),
    locate: (region) => words.locate?.(inWords(region)) ?? null,
  }
}

/** A matrix in memory with rows and columns exchanged. */
export function transposed(
  bytes: Uint8Array,
  { rows, cols, elementBytes }: { readonly rows: number; readonly cols: number; readonly elementBytes: 1 | 2 | 4 },
): Uint8Array {
  const result = new Uint8Array(rows * cols * elementBytes)
  transpose({
    stored: elementsOf(bytes, elementBytes),
    rowStride: cols,
    offset: 0,
    rows,
    cols,
    out: elementsOf(result, elementBytes),
    stride: rows,
    outCol: 0,
  })
  return result
}

export function elementBytesOf(dtype: DType): 2 | 4 {
  return weightFormats[dtype].blockBytes === 2 ? 2 : 4
}

/** A whole tensor of signed integers of any width. */
export function readIntegers(tensor: RawTensor): number[] {
  const bytes = new Uint8Array(tensor.sizeInBytes)
  tensor.read(bytes)
  if (tensor.dtype === 'int8') return [...new Int8Array(bytes.buffer)]
  if (tensor.dtype === 'int32') return [...new Int32Array(bytes.buffer)]
  return Array.from(new BigInt64Array(bytes.buffer), Number)
}
