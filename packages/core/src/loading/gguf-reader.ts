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

/** Reads a GGUF header's values in order through a window, so that no count or length in the file is believed before its bytes exist. */
export class GgufReader {
  readonly #file: TensorFile
  readonly #decoder = new TextDecoder()
  #window = new Uint8Array(0)
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
    return this.#take(4).getUint32(0, true)
  }

  /** A u64 from 0 to `max`. */
  count(what: string, max: number): number {
    const value = this.#take(8).getBigUint64(0, true)
    if (value > BigInt(max)) throw new CheckpointError(this.#file.path, `${what} is ${value}; the limit is ${max}`)
    return Number(value)
  }

  string(what: string, maxBytes: number): string {
    const length = this.count(`the length of a ${what}`, maxBytes)
    return this.#decoder.decode(this.#take(length))
  }

  /** A metadata value: its type, then itself. */
  value(key: string): unknown {
    return this.#typedValue(this.uint32(), key, 0)
  }

  #typedValue(type: number, key: string, depth: number): unknown {
    switch (type) {
      case 0:
        return this.#take(1).getUint8(0)
      case 1:
        return this.#take(1).getInt8(0)
      case 2:
        return this.#take(2).getUint16(0, true)
      case 3:
        return this.#take(2).getInt16(0, true)
      case 4:
        return this.uint32()
      case 5:
        return this.#take(4).getInt32(0, true)
      case 6:
        return shortestFloat32(this.#take(4).getFloat32(0, true))
      case 7:
        return this.#take(1).getUint8(0) !== 0
      case stringType:
        return this.string(`string in ${key}`, maxStringBytes)
      case arrayType:
        return this.#array(key, depth)
      case 10:
        return toNumber(this.#take(8).getBigUint64(0, true))
      case 11:
        return toNumber(this.#take(8).getBigInt64(0, true))
      case 12:
        return this.#take(8).getFloat64(0, true)
      default:
        throw new CheckpointError(this.#file.path, `metadata ${JSON.stringify(key)} has the unknown type ${type}`)
    }
  }

  #array(key: string, depth: number): unknown[] {
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
    const values: unknown[] = []
    for (let i = 0; i < length; i++) values.push(this.#typedValue(type, key, depth + 1))
    return values
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
  #take(length: number): DataView {
    if (this.#position + length > this.#windowStart + this.#window.length) {
      this.#requireBytes(length)
      const size = Math.min(Math.max(length, windowBytes), this.#file.sizeInBytes - this.#position)
      this.#window = new Uint8Array(size)
      this.#file.read(this.#window, this.#position)
      this.#windowStart = this.#position
    }
    const at = this.#position - this.#windowStart
    this.#position += length
    return new DataView(this.#window.buffer, at, length)
  }
}

function toNumber(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

/** The shortest decimal with this float32 value: 1e-5 was written, not 0.000009999999747378752. */
function shortestFloat32(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const shortened = Number(value.toPrecision(digits))
    if (Math.fround(shortened) === value) return shortened
  }
  return value
}
