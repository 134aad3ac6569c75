import { CheckpointError } from '../errors.ts'
import { dequantizeRow, encodeRow } from '../tensor/dequantize.ts'
import { rowBytes } from '../tensor/dtype.ts'
import type { StoredRows } from '../tensor/packed-weight.ts'
import { assert } from '../util/assert.ts'
import { expandQ2K } from './expand-q2-k.ts'
import { rawBlocks, type RawDType, type RawTensor } from './raw-tensor.ts'
import type { TensorFile } from './tensor-file.ts'
import { weightCols, weightRows, type RowRange, type WeightInfo, type WeightSource } from './weight-source.ts'

/** Widened rows are read through at most this much of their stored form at once. */
const maxChunkBytes = 8 * 1024 * 1024

/** Where a tensor's bytes begin in its file. */
export interface StoredTensor {
  readonly info: WeightInfo
  readonly position: number
  /** Whether the file has blocks of Q2_K, which are given as float32. */
  readonly isQ2K?: boolean
}

/** A tensor in a dtype whose bytes can be read, and no more. */
export interface RawPlace {
  readonly dtype: RawDType
  readonly shape: readonly number[]
  readonly sizeInBytes: number
  readonly position: number
}

/** A tensor that is in the file but in a dtype that can't be computed with; asking for it throws `reason`. */
export interface UnreadableTensor {
  readonly name: string
  readonly file: string
  readonly reason: string
  readonly raw: RawPlace
}

export function isUnreadable(tensor: StoredTensor | UnreadableTensor): tensor is UnreadableTensor {
  return 'reason' in tensor
}

/** Tensors that lie in their files row by row, unchanged: safetensors, and GGUF before its names are mapped. */
export class StoredWeights implements WeightSource {
  readonly file: string
  readonly #tensors: ReadonlyMap<string, StoredTensor | UnreadableTensor>
  readonly #files: ReadonlyMap<string, TensorFile>

  constructor(
    file: string,
    tensors: ReadonlyMap<string, StoredTensor | UnreadableTensor>,
    files: ReadonlyMap<string, TensorFile>,
  ) {
    this.file = file
    this.#tensors = tensors
    this.#files = files
  }

  names(): readonly string[] {
    return [...this.#tensors.keys()]
  }

  get(name: string): WeightInfo | null {
    const tensor = this.#tensors.get(name)
    if (tensor === undefined) return null
    if (isUnreadable(tensor)) throw new CheckpointError(tensor.file, tensor.reason, { tensor: name })
    return tensor.info
  }

  read(name: string, bytes: Uint8Array, rows?: RowRange): void {
    if (this.#require(name).isQ2K === true) return this.#readQ2K(name, bytes, rows)
    const { file, position, stride, count } = this.#place(name, rows)
    assert(bytes.length === count * stride, `${bytes.length} bytes for ${count} rows of ${stride} of ${name}`)
    file.read(bytes, position)
  }

  locate(name: string, rows?: RowRange): readonly StoredRows[] | null {
    if (this.#require(name).isQ2K === true) return null
    const { file, ...place } = this.#place(name, rows)
    return [{ file: file.path, fd: file.fd, ...place }]
  }

  readFloat32(name: string, rows?: RowRange): Float32Array {
    return readWidened(this, this.#require(name).info, rows)
  }

  raw(name: string): RawTensor | null {
    const tensor = this.#tensors.get(name)
    if (tensor === undefined) return null
    const { file: path } = isUnreadable(tensor) ? tensor : tensor.info
    const place = rawPlace(tensor)
    const { position, ...described } = place
    return {
      name,
      file: path,
      ...described,
      read: (bytes, start = 0) => {
        assert(
          start >= 0 && start + bytes.length <= place.sizeInBytes,
          `bytes ${start} to ${start + bytes.length} of ${place.sizeInBytes} of ${name}`,
        )
        this.#fileAt(path).read(bytes, position + start)
      },
      locate: () => ({ file: path, fd: this.#fileAt(path).fd, position }),
    }
  }

  close(): void {
    for (const file of this.#files.values()) file.close()
  }

  #readQ2K(name: string, bytes: Uint8Array, rows?: RowRange): void {
    const { info, position } = this.#require(name)
    const file = this.#fileAt(info.file)
    const cols = weightCols(info)
    const stride = (cols / rawBlocks.q2_k[0]) * rawBlocks.q2_k[1]
    const { start, end } = rows ?? { start: 0, end: weightRows(info) }
    assert(bytes.length === (end - start) * cols * 4, `${bytes.length} bytes for ${end - start} rows of ${name}`)
    const chunkRows = Math.max(1, Math.floor(maxChunkBytes / stride))
    const chunk = new Uint8Array(Math.min(chunkRows, end - start) * stride)
    const row = new Float32Array(cols)
    for (let first = start; first < end; first += chunkRows) {
      const count = Math.min(chunkRows, end - first)
      file.read(chunk.subarray(0, count * stride), position + first * stride)
      for (let i = 0; i < count; i++) {
        expandQ2K(chunk, i * stride, row)
        encodeRow('float32', row, bytes, (first - start + i) * cols * 4)
      }
    }
  }

  /** The rows lie one after the other; that they end inside the file was checked when it was opened. */
  #place(name: string, rows?: RowRange): Omit<StoredRows, 'fd' | 'file'> & { readonly file: TensorFile } {
    const { info, position } = this.#require(name)
    const stride = rowBytes(info.format, weightCols(info))
    const { start, end } = rows ?? { start: 0, end: weightRows(info) }
    assert(
      start >= 0 && start <= end && end <= weightRows(info),
      `rows ${start}..${end} of ${name} with ${weightRows(info)}`,
    )
    return { file: this.#fileAt(info.file), position: position + start * stride, stride, count: end - start }
  }

  #require(name: string): StoredTensor {
    if (this.get(name) === null) throw new CheckpointError(this.file, 'missing', { tensor: name })
    const tensor = this.#tensors.get(name)
    assert(tensor !== undefined && !isUnreadable(tensor), `${name} is readable`)
    return tensor
  }

  #fileAt(path: string): TensorFile {
    const file = this.#files.get(path)
    assert(file !== undefined, `${path} is open`)
    return file
  }
}

function rawPlace(tensor: StoredTensor | UnreadableTensor): RawPlace {
  if (isUnreadable(tensor)) return tensor.raw
  const { format, shape, sizeInBytes } = tensor.info
  const { position } = tensor
  if (tensor.isQ2K !== true) return { dtype: format, shape, sizeInBytes, position }
  const [elements, blockBytes] = rawBlocks.q2_k
  return { dtype: 'q2_k', shape, sizeInBytes: (sizeInBytes / 4 / elements) * blockBytes, position }
}

/** `readFloat32` on top of `read`, through a bounded scratch. */
export function readWidened(source: WeightSource, info: WeightInfo, rows?: RowRange): Float32Array {
  const cols = weightCols(info)
  const stride = rowBytes(info.format, cols)
  const { start, end } = rows ?? { start: 0, end: weightRows(info) }
  const out = new Float32Array((end - start) * cols)
  if (info.format === 'float32') {
    source.read(info.name, new Uint8Array(out.buffer), { start, end })
    return out
  }
  const chunkRows = Math.max(1, Math.min(end - start, Math.floor(maxChunkBytes / Math.max(stride, 1))))
  const chunk = new Uint8Array(chunkRows * stride)
  for (let row = start; row < end; row += chunkRows) {
    const count = Math.min(chunkRows, end - row)
    source.read(info.name, chunk.subarray(0, count * stride), { start: row, end: row + count })
    for (let i = 0; i < count; i++)
      dequantizeRow(info.format, chunk, i * stride, out.subarray((row - start + i) * cols), cols)
  }
  return out
}
