import { dequantizeQ4K, dequantizeQ5K, dequantizeQ6K } from './k-blocks'
import { dequantizeQ40, dequantizeQ41, dequantizeQ50, dequantizeQ51, dequantizeQ80 } from './legacy-blocks'
import { widenBFloat16Row, widenFloat16Row } from './widen'

// Codes shared with `formatCodes` in wasm-kernels.ts.
export const FLOAT32 = 0
export const FLOAT16 = 1
export const BFLOAT16 = 2
export const Q8_0 = 3
export const Q4_0 = 4
export const Q4_K = 5
export const Q5_K = 6
export const Q6_K = 7
export const Q4_1 = 8
export const Q5_0 = 9
export const Q5_1 = 10

/** One stored row of `cols` elements to float32; the same values as `tensor/dequantize.ts`, bit for bit. */
export function dequantizeRow(out: usize, row: usize, cols: i32, format: i32): void {
  switch (format) {
    case FLOAT32:
      memory.copy(out, row, <usize>cols << 2)
      break
    case FLOAT16:
      widenFloat16Row(out, row, cols)
      break
    case BFLOAT16:
      widenBFloat16Row(out, row, cols)
      break
    case Q8_0:
      dequantizeQ80(out, row, cols)
      break
    case Q4_0:
      dequantizeQ40(out, row, cols)
      break
    case Q4_K:
      dequantizeQ4K(out, row, cols)
      break
    case Q5_K:
      dequantizeQ5K(out, row, cols)
      break
    case Q6_K:
      dequantizeQ6K(out, row, cols)
      break
    case Q4_1:
      dequantizeQ41(out, row, cols)
      break
    case Q5_0:
      dequantizeQ50(out, row, cols)
      break
    case Q5_1:
      dequantizeQ51(out, row, cols)
      break
    default:
      unreachable()
  }
}

/** out[i] = row ids[i] (int32) of the weight as float32; out [n, cols] */
export function embedding(out: usize, ids: usize, n: i32, weight: usize, stride: usize, cols: i32, format: i32): void {
  for (let i = 0; i < n; i++) {
    dequantizeRow(out, weight + <usize>load<u32>(ids + (<usize>i << 2)) * stride, cols, format)
    out += <usize>cols << 2
  }
}
