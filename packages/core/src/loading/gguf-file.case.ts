/** What tests write into a GGUF file; numbers become u32 or f32 as their value allows. */
export interface WrittenGguf {
  readonly metadata: Readonly<Record<string, GgufValue>>
  readonly tensors: readonly WrittenGgufTensor[]
  readonly alignment?: number
}

export type GgufValue = number | bigint | boolean | string | readonly string[] | readonly number[] | readonly boolean[]

export interface WrittenGgufTensor {
  readonly name: string
  /** `ggml_type`: 0 F32, 1 F16, 2 Q4_0, 3 Q4_1, 8 Q8_0, … */
  readonly type: number
  /** As in PyTorch; written in reverse. */
  readonly shape: readonly number[]
  readonly bytes: Uint8Array
  /** Only for malformed files. */
  readonly offset?: number
}

export function ggufBytes({ metadata, tensors, alignment = 32 }: WrittenGguf): Uint8Array {
  const header = new ByteWriter()
  header.bytes(Buffer.from('GGUF'))
  header.uint32(3)
  header.uint64(tensors.length)
  header.uint64(Object.keys(metadata).length)
  for (const [key, value] of Object.entries(metadata)) {
    header.string(key)
    header.typedValue(value)
  }
  let offset = 0
  for (const { name, type, shape, bytes, ...tensor } of tensors) {
    header.string(name)
    header.uint32(shape.length)
    for (const size of shape.toReversed()) header.uint64(size)
    header.uint32(type)
    header.uint64(tensor.offset ?? offset)
    offset += Math.ceil(bytes.length / alignment) * alignment
  }
  header.pad(alignment)
  for (const { bytes } of tensors) {
    header.bytes(bytes)
    header.pad(alignment)
  }
  return header.result()
}

class ByteWriter {
  readonly #parts: Uint8Array[] = []
  #length = 0

  bytes(bytes: Uint8Array): void {
    this.#parts.push(bytes)
    this.#length += bytes.length
  }

  pad(alignment: number): void {
    this.bytes(new Uint8Array((alignment - (this.#length % alignment)) % alignment))
  }

  uint32(value: number): void {
    this.#view(4, (view) => view.setUint32(0, value, true))
  }

  uint64(value: number | bigint): void {
    this.#view(8, (view) => view.setBigUint64(0, BigInt(value), true))
  }

  string(text: string): void {
    const bytes = Buffer.from(text)
    this.uint64(bytes.length)
    this.bytes(bytes)
  }

  typedValue(value: GgufValue): void {
    if (typeof value === 'object') {
      this.uint32(9)
      this.uint32(typeOf(value[0] ?? 0))
      this.uint64(value.length)
      for (const element of value) this.#value(element)
    } else {
      this.uint32(typeOf(value))
      this.#value(value)
    }
  }

  result(): Uint8Array {
    return Buffer.concat(this.#parts)
  }

  #value(value: number | bigint | boolean | string): void {
    if (typeof value === 'string') this.string(value)
    else if (typeof value === 'boolean') this.bytes(Uint8Array.of(value ? 1 : 0))
    else if (typeof value === 'bigint') this.uint64(value)
    else if (typeOf(value) === 4) this.uint32(value)
    else this.#view(4, (view) => view.setFloat32(0, value, true))
  }

  #view(length: number, write: (view: DataView) => void): void {
    const bytes = new Uint8Array(length)
    write(new DataView(bytes.buffer))
    this.bytes(bytes)
  }
}

function typeOf(value: number | bigint | boolean | string): number {
  if (typeof value === 'string') return 8
  if (typeof value === 'boolean') return 7
  if (typeof value === 'bigint') return 10
  return Number.isInteger(value) && value >= 0 ? 4 : 6
}
