/** Protocol buffers' wire format, writing only: https://protobuf.dev/programming-guides/encoding. */
export type Field = readonly [number: number, value: number | string | Buffer | Float]

/** A 32-bit float, which JavaScript's numbers do not tell from an integer. */
export class Float {
  readonly value: number

  constructor(value: number) {
    this.value = value
  }
}

/** A message of these fields, in this order. Text and messages are length-delimited, numbers are varints. */
export function message(fields: readonly Field[]): Buffer {
  return Buffer.concat(fields.flatMap(([number, value]) => encodeField(number, value)))
}

function encodeField(number: number, value: Field[1]): Buffer[] {
  if (typeof value === 'number') return [varint(number << 3), varint(value)]
  if (value instanceof Float) {
    const bytes = Buffer.alloc(4)
    bytes.writeFloatLE(value.value)
    return [varint((number << 3) | 5), bytes]
  }
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  return [varint((number << 3) | 2), varint(bytes.length), bytes]
}

/** Negative numbers take ten bytes, as two's complement of 64 bits. */
function varint(value: number): Buffer {
  let rest = BigInt.asUintN(64, BigInt(value))
  const bytes: number[] = []
  do {
    const low = Number(rest & 127n)
    rest >>= 7n
    bytes.push(rest > 0n ? low | 128 : low)
  } while (rest > 0n)
  return Buffer.from(bytes)
}
