import { CheckpointError } from '../errors.ts'
import type { TensorFile } from './tensor-file.ts'

const windowBytes = 1024 * 1024
const maxStringBytes = 16 * 1024 * 1024
const maxArrayLength = 4 * 1024 * 1024
const maxArrayDepth = 4
/** Of all arrays together; the largest vocabularies take some 1.5 million. */
const maxElements = 8 * 1024 * 1024
/** Vocabularies of the largest models take some 20 MiB. */
const maxHeaderBytes = 256 * 1024 * 1024

const arrayType = 9
const stringType = 8
/** Smallest size of an element in the file, by `gguf_metadata_value_type`. */
const minElementBytes = [1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8]

/** So many strings take less time than a vocabulary's, which only one of the threads that open a file needs. */
const minDeferredLength = 256

/** Strings of a header, decoded when they are asked for. */
export class DeferredStrings {
  readonly #bytes: Buffer
  readonly #length: number

  /** @param bytes every string behind its length, which is a u64 below 2^32 and has been checked */
  constructor(bytes: Buffer, length: number) {
    this.#bytes = bytes
    this.#length = length
  }

  decode(): string[] {
    const values: string[] = []
    for (let at = 0; values.length < this.#length;) {
      const start = at + 8
      at = start + this.#bytes.readUInt32LE(at)
      values.push(this.#bytes.toString('utf8', start, at))
    }
    return values
  }
}

/** Reads a GGUF header's values in order through a window, so that no count or length in the file is believed before its bytes exist. */
export class GgufReader {
  readonly #file: TensorFile
  #window = Buffer.alloc(0)
  #windowStart = 0
  #position = 0
  #numElements = 0

  constructor(file: TensorFile) {
    this.#file = file
  }

  /** The next byte to be read. */
  get position(): number {
    return this.#position
  }

  uint32(): number {
    const at = this.#take(4)
    return this.#window.readUInt32LE(at)
  }

  /** A u64 from 0 to `max`. */
  count(what: string, max: number): number {
    const at = this.#take(8)
    // Above 2^53 the sum is rounded, but stays above it, and so does no limit.
    const value = this.#window.readUInt32LE(at) + 2 ** 32 * this.#window.readUInt32LE(at + 4)
    if (value <= max) return value
    const stated = this.#window.readBigUInt64LE(at)
    throw new CheckpointError(this.#file.path, `${what} is ${stated}; the limit is ${max}`)
  }

  string(what: string, maxBytes: number): string {
    const length = this.count(`the length of a ${what}`, maxBytes)
    const at = this.#take(length)
    return this.#window.toString('utf8', at, at + length)
  }

  /** A metadata value: its type, then itself. Long lists of strings come as `DeferredStrings`. */
  value(key: string): unknown {
    return this.#typedValue(this.uint32(), key, 0)
  }

  #typedValue(type: number, key: string, depth: number): unknown {
    switch (type) {
      case 0:
        return this.#view(1).getUint8(0)
      case 1:
        return this.#view(1).getInt8(0)
      case 2:
        return this.#view(2).getUint16(0, true)
      case 3:
        return this.#view(2).getInt16(0, true)
      case 4:
        return this.uint32()
      case 5:
        return this.#view(4).getInt32(0, true)
      case 6:
        return shortestFloat32(this.#view(4).getFloat32(0, true))
      case 7:
        return this.#view(1).getUint8(0) !== 0
      case stringType:
        return this.string(`string in ${key}`, maxStringBytes)
      case arrayType:
        return this.#array(key, depth)
      case 10:
        return toNumber(this.#view(8).getBigUint64(0, true))
      case 11:
        return toNumber(this.#view(8).getBigInt64(0, true))
      case 12:
        return this.#view(8).getFloat64(0, true)
      default:
        throw new CheckpointError(this.#file.path, `metadata ${JSON.stringify(key)} has the unknown type ${type}`)
    }
  }

  #array(key: string, depth: number): unknown[] | DeferredStrings {
    if (depth >= maxArrayDepth)
      throw new CheckpointError(
        this.#file.path,
        `metadata ${JSON.stringify(key)} nests arrays more than ${maxArrayDepth} deep`,
      )
    const type = this.uint32()
    const length = this.count(`the length of array ${JSON.stringify(key)}`, maxArrayLength)
    this.#requireBytes(length * (minElementBytes[type] ?? 1))
    this.#numElements += length
    if (this.#numElements > maxElements)
      throw new CheckpointError(this.#file.path, `has arrays of more than ${maxElements} elements in its metadata`)
    if (type === stringType && depth === 0 && length >= minDeferredLength) return this.#deferStrings(length, key)
    if (type === 4 || type === 5) return this.#integers(length, type === 5)
    const values: unknown[] = []
    for (let i = 0; i < length; i++) values.push(this.#typedValue(type, key, depth + 1))
    return values
  }

  #integers(length: number, isSigned: boolean): number[] {
    const view = this.#view(4 * length)
    return Array.from({ length }, (_, i) => (isSigned ? view.getInt32(4 * i, true) : view.getUint32(4 * i, true)))
  }

  /** Goes from length to length, then takes all bytes at once. */
  #deferStrings(length: number, key: string): DeferredStrings {
    const start = this.#position
    for (let i = 0; i < length; i++) this.#take(this.count(`the length of a string in ${key}`, maxStringBytes))
    const bytes = Buffer.alloc(this.#position - start)
    this.#file.read(bytes, start)
    return new DeferredStrings(bytes, length)
  }

  #requireBytes(length: number): void {
    const end = this.#position + length
    if (end > this.#file.sizeInBytes) {
      throw new CheckpointError(
        this.#file.path,
        `ends inside its header: byte ${end} is needed, but the file has ${this.#file.sizeInBytes}; it is truncated or damaged, download it again`,
      )
    }
    if (end > maxHeaderBytes)
      throw new CheckpointError(this.#file.path, `has a header of more than ${maxHeaderBytes} bytes`)
  }

  /** Moves past `length` bytes and returns them. */
  #view(length: number): DataView {
    const at = this.#take(length)
    return new DataView(this.#window.buffer, this.#window.byteOffset + at, length)
  }

  /** Moves past `length` bytes and returns where they begin in the window. */
  #take(length: number): number {
    if (this.#position + length > this.#windowStart + this.#window.length) {
      this.#requireBytes(length)
      const size = Math.min(Math.max(length, windowBytes), this.#file.sizeInBytes - this.#position)
      this.#window = Buffer.alloc(size)
      this.#file.read(this.#window, this.#position)
      this.#windowStart = this.#position
    }
    const at = this.#position - this.#windowStart
    this.#position += length
    return at
  }
}

function toNumber(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

/** The shortest decimal with this float32 value: 1e-5 was written, not 0.000009999999747378752. */
function shortestFloat32(value: number): number {
  if (Number.isInteger(value)) return value
  for (let digits = 1; digits < 9; digits++) {
    const shortened = Number(value.toPrecision(digits))
    if (Math.fround(shortened) === value) return shortened
  }
  return value
}
