// Stored rows ↔ float32.
import { assert } from '../util/assert.ts'
import { blockDequantizers } from './dequantize-blocks.ts'
import { isDense, rowBytes, weightFormats, type DType, type WeightFormat } from './dtype.ts'
import { float16Table, float32ToBfloat16, float32ToFloat16 } from './narrow-floats.ts'

/**
 * Widens one row of `cols` elements, stored at `bytes[byteOffset …]`, into `out[0 … cols)`. `cols` must be a multiple of the
 * format's block; no alignment is asked of `byteOffset`.
 */
export function dequantizeRow(
  format: WeightFormat,
  bytes: Uint8Array,
  byteOffset: number,
  out: Float32Array,
  cols: number,
): void {
  assert(
    byteOffset + rowBytes(format, cols) <= bytes.length,
    `a ${format} row of ${cols} at byte ${byteOffset} ends behind its ${bytes.length} bytes`,
  )
  assert(out.length >= cols, `a row of ${cols} does not fit ${out.length} floats`)
  if (isDense(format)) return widenRow(format, bytes.subarray(byteOffset), out, cols)
  const { blockElements, blockBytes } = weightFormats[format]
  const dequantizeBlock = blockDequantizers[format]
  let at = byteOffset
  for (let base = 0; base < cols; base += blockElements, at += blockBytes) dequantizeBlock(bytes, at, out, base)
}

/** As `dequantizeRow`, of floats that begin at `bytes[0]`. */
export function widenRow(dtype: DType, bytes: Uint8Array, out: Float32Array, cols: number): void {
  switch (dtype) {
    case 'float32':
      return widenFloat32(bytes, out, cols)
    case 'float16':
      return widenFloat16(bytes, out, cols)
    case 'bfloat16':
      return widenBfloat16(bytes, out, cols)
  }
}

/** Narrows `values` to `dtype` and writes them little-endian at `out[byteOffset …]`. */
export function encodeRow(dtype: DType, values: Float32Array, out: Uint8Array, byteOffset: number): void {
  assert(byteOffset + rowBytes(dtype, values.length) <= out.length, 'encodeRow: the output is too short')
  if (dtype === 'float32') {
    out.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), byteOffset)
    return
  }
  const encode = dtype === 'float16' ? float32ToFloat16 : float32ToBfloat16
  for (let i = 0; i < values.length; i++) {
    const bits = encode(values[i]!)
    out[byteOffset + 2 * i] = bits
    out[byteOffset + 2 * i + 1] = bits >>> 8
  }
}

function widenFloat32(bytes: Uint8Array, out: Float32Array, cols: number): void {
  new Uint8Array(out.buffer, out.byteOffset, cols * 4).set(bytes.subarray(0, cols * 4))
}

function widenFloat16(bytes: Uint8Array, out: Float32Array, cols: number): void {
  const table = float16Table()
  for (let i = 0; i < cols; i++) out[i] = table[bytes[2 * i]! | (bytes[2 * i + 1]! << 8)]!
}

function widenBfloat16(bytes: Uint8Array, out: Float32Array, cols: number): void {
  const bits = new Uint32Array(out.buffer, out.byteOffset, cols)
  for (let i = 0; i < cols; i++) bits[i] = (bytes[2 * i]! << 16) | (bytes[2 * i + 1]! << 24)
}
