/** A metadata value with its type in the file (github.com/ggml-org/ggml, docs/gguf.md). */
export type GgufValue =
  | { readonly type: 'uint32' | 'int32' | 'float32'; readonly value: number }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'array'; readonly of: 'int32' | 'float32'; readonly values: ArrayLike<number> }
  | { readonly type: 'array'; readonly of: 'bool'; readonly values: readonly boolean[] }
  | { readonly type: 'array'; readonly of: 'string'; readonly values: readonly string[] }

export type GgufEntries = ReadonlyMap<string, GgufValue>

export const uint32 = (value: number): GgufValue => ({ type: 'uint32', value })
export const float32 = (value: number): GgufValue => ({ type: 'float32', value })
export const bool = (value: boolean): GgufValue => ({ type: 'bool', value })
export const text = (value: string): GgufValue => ({ type: 'string', value })
export const texts = (values: readonly string[]): GgufValue => ({ type: 'array', of: 'string', values })

const typeNumbers = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const

/** Little-endian bytes that grow. */
export class ByteWriter {
  #bytes = Buffer.alloc(64 * 1024)
  #length = 0

  get length(): number {
    return this.#length
  }

  uint32(value: number): void {
    this.#length = this.#room(4).writeUInt32LE(value, this.#length)
  }

  uint64(value: number): void {
    this.#length = this.#room(8).writeBigUInt64LE(BigInt(value), this.#length)
  }

  text(value: string): void {
    const bytes = Buffer.from(value)
    this.uint64(bytes.length)
    this.#room(bytes.length).set(bytes, this.#length)
    this.#length += bytes.length
  }

  value(value: GgufValue): void {
    this.uint32(typeNumbers[value.type])
    if (value.type !== 'array') return this.#plain(value.type, value.value)
    this.uint32(typeNumbers[value.of])
    this.uint64(value.values.length)
    for (let i = 0; i < value.values.length; i++) this.#plain(value.of, value.values[i]!)
  }

  pad(alignment: number): void {
    const rest = (alignment - (this.#length % alignment)) % alignment
    this.#room(rest).fill(0, this.#length, this.#length + rest)
    this.#length += rest
  }

  result(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  #plain(type: Exclude<keyof typeof typeNumbers, 'array'>, value: number | boolean | string): void {
    if (type === 'string') this.text(String(value))
    else if (type === 'bool') this.#length = this.#room(1).writeUInt8(Number(value), this.#length)
    else if (type === 'uint32') this.uint32(Number(value))
    else if (type === 'int32') this.#length = this.#room(4).writeInt32LE(Number(value), this.#length)
    else this.#length = this.#room(4).writeFloatLE(Number(value), this.#length)
  }

  /** The bytes, with room for so many more. */
  #room(more: number): Buffer {
    if (this.#length + more > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(2 * this.#bytes.length, this.#length + more))
      larger.set(this.result())
      this.#bytes = larger
    }
    return this.#bytes
  }
}
