import { FLOAT32, FLOAT16, BFLOAT16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K, GROUPED } from './formats.generated'
import { dequantizeGroupedRow } from './grouped'
import { dequantizeQ4K, dequantizeQ5K, dequantizeQ6K } from './k-blocks'
import { dequantizeQ40, dequantizeQ41, dequantizeQ50, dequantizeQ51, dequantizeQ80 } from './legacy-blocks'
import { Weight } from './weight'
import { widenBFloat16Row, widenFloat16Row } from './widen'

/** One stored row of `cols` floats or blocks to float32; the same values as `tensor/dequantize.ts`, bit for bit. */
function dequantizeStoredRow(out: usize, row: usize, cols: i32, format: i32): void {
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

/** Row `row` of the weight to float32. */
export function dequantizeRow(out: usize, weight: Weight, row: usize): void {
  if (weight.format == GROUPED) dequantizeGroupedRow(out, weight, row)
  else dequantizeStoredRow(out, weight.rows + row * weight.stride, weight.cols, weight.format)
}

/** out[i] = row ids[i] (int32) of the weight as float32; out [n, cols] */
export function embedding(out: usize, ids: usize, n: i32, weight: Weight): void {
  for (let i = 0; i < n; i++) {
    dequantizeRow(out, weight, <usize>load<u32>(ids + (<usize>i << 2)))
    out += <usize>weight.cols << 2
  }
}
