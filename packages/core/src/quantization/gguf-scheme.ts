import { isRawBlock, rawBlocks, type RawTensor } from '../loading/raw-tensor.ts'
import type { WeightView } from '../loading/weight-view.ts'
import { encodeRow } from '../tensor/dequantize.ts'
import { rowBytes } from '../tensor/dtype.ts'
import { blockCodecs, type GroupedBlock } from './gguf-codecs.ts'
import { matrixShape, type GroupedTensors, type PlaneReader } from './grouped-tensors.ts'
import type { QuantizationScheme } from './quantization-scheme.ts'

/** Stored rows read at once. */
const maxChunkBytes = 1024 * 1024

/** GGUF's blocks that the kernels have no format for, as grouped weights of the same values. */
export function createGgufScheme(): QuantizationScheme {
  return {
    name: 'gguf',
    find(source: WeightView, module: string): GroupedTensors | null {
      const name = `${module}.weight`
      const tensor = source.raw(name)
      if (tensor === null || !isRawBlock(tensor.dtype) || tensor.dtype === 'q2_k') return null
      return groupedTensors(tensor, tensor.dtype, module)
    },
  }
}

function groupedTensors(tensor: RawTensor, dtype: GroupedBlock, module: string): GroupedTensors {
  const [rows, cols] = matrixShape(tensor)
  const { format } = blockCodecs[dtype]
  return {
    module,
    file: tensor.file,
    rows,
    cols,
    format,
    order: null,
    codeUnit: rawBlocks[dtype][0],
    codes: codesReader(tensor, dtype, cols),
    scales: scalesReader(tensor, dtype, cols),
    zeros: null,
    names: [tensor.name],
    unused: [],
  }
}

function codesReader(tensor: RawTensor, dtype: GroupedBlock, cols: number): PlaneReader {
  const { format, codes } = blockCodecs[dtype]
  const [elements, blockBytes] = rawBlocks[dtype]
  const { bits } = format
  return {
    read(region, { bytes, stride }) {
      const block = new Uint8Array(elements)
      const [first, end] = [region.cols.start / elements, region.cols.end / elements]
      eachRow(tensor, { rows: region.rows, rowBytes: (cols / elements) * blockBytes }, (stored, from, row) => {
        let to = (row - region.rows.start) * stride
        for (let b = first; b < end; b++) {
          codes(stored, from + b * blockBytes, block)
          to += packCodes(block, bits, bytes.subarray(to))
        }
      })
    },
  }
}

/** Eight codes are `bits` bytes. Returns how many these are. */
function packCodes(codes: Uint8Array, bits: number, out: Uint8Array): number {
  if (bits === 8) {
    out.set(codes)
    return codes.length
  }
  let to = 0
  const perWord = bits === 3 ? 8 : 8 / bits
  const bytesPerWord = (perWord * bits) / 8
  for (let i = 0; i < codes.length; i += perWord) {
    let word = 0
    for (let k = perWord - 1; k >= 0; k--) word = (word << bits) | codes[i + k]!
    for (let b = 0; b < bytesPerWord; b++, word >>>= 8) out[to++] = word
  }
  return to
}

function scalesReader(tensor: RawTensor, dtype: GroupedBlock, cols: number): PlaneReader {
  const { format, scales } = blockCodecs[dtype]
  const [elements, blockBytes] = rawBlocks[dtype]
  const perBlock = elements / format.groupSize
  const { scaleDtype } = format
  const elementBytes = rowBytes(scaleDtype, 1)
  return {
    read(region, { bytes, stride }) {
      const all = new Float32Array((cols / elements) * perBlock)
      const { start, end } = region.cols
      eachRow(tensor, { rows: region.rows, rowBytes: (cols / elements) * blockBytes }, (stored, from, row) => {
        for (let b = Math.floor(start / perBlock); b * perBlock < end; b++)
          scales(stored, from + b * blockBytes, all.subarray(b * perBlock, (b + 1) * perBlock))
        const to = (row - region.rows.start) * stride
        encodeRow(scaleDtype, all.subarray(start, end), bytes.subarray(to, to + (end - start) * elementBytes), 0)
      })
    },
  }
}

interface Rows {
  readonly rows: { readonly start: number; readonly end: number }
  readonly rowBytes: number
}

/** Calls back with each row and where it lies in `stored`. */
function eachRow(
  tensor: RawTensor,
  { rows: { start, end }, rowBytes }: Rows,
  take: (stored: Uint8Array, from: number, row: number) => void,
): void {
  const chunkRows = Math.max(1, Math.min(end - start, Math.floor(maxChunkBytes / rowBytes)))
  const chunk = new Uint8Array(chunkRows * rowBytes)
  if (tensor.storedRow !== undefined) {
    for (let row = start; row < end; row++) {
      tensor.read(chunk.subarray(0, rowBytes), tensor.storedRow(row) * rowBytes)
      take(chunk, 0, row)
    }
    return
  }
  for (let from = start; from < end; from += chunkRows) {
    const count = Math.min(chunkRows, end - from)
    tensor.read(chunk.subarray(0, count * rowBytes), from * rowBytes)
    for (let i = 0; i < count; i++) take(chunk, i * rowBytes, from + i)
  }
}
