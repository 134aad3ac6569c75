import { encodeRow, rowBytes } from '@octavo/core/loading'
import type { VectorEncoding } from '@octavo/sdk/protocol'

/** The bytes of numbers as a request wants them. */
export function vectorBytes(data: Float32Array, { embed_dtype, endianness }: VectorEncoding): Buffer {
  const dtype = embed_dtype ?? 'float32'
  const bytes = Buffer.alloc(rowBytes(dtype, data.length))
  encodeRow(dtype, data, bytes, 0)
  if (endianness !== 'big') return bytes
  return dtype === 'float32' ? bytes.swap32() : bytes.swap16()
}
