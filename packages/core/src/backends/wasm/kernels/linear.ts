// out = x . weight^T (+ bias). Weight rows are taken in panels of `panelRows`, widened to float32 in `scratch` where
// they are not float32 already; activation rows in blocks that stay in the second-level cache while a panel passes.
// Every output element is reduced as written in dot.ts, so neither n, nor the panels, nor the tiles change its bits.
import { dequantizeRow } from './dequantize'
import { dot1x1, dot4x1, dot4x2 } from './dot'
import { BFLOAT16, FLOAT32 } from './formats.generated'
import { addRows } from './rms-norm'
import { Weight } from './weight'
import { BFloat16Row, Float32Row } from './widen'

const BLOCK_BYTES: usize = 256 << 10

/** One activation row against `rows` weight rows. */
function multiplyRow<T>(out: usize, x: usize, weight: usize, stride: usize, rows: i32, cols: i32): void {
  let r = 0
  for (; r + 4 <= rows; r += 4) {
    dot4x1<T>(out, weight, stride, x, cols)
    weight += stride << 2
    out += 16
  }
  for (; r < rows; r++) {
    dot1x1<T>(out, weight, x, cols)
    weight += stride
    out += 4
  }
}

/** `n` activation rows against one panel of float32 rows; outStride: bytes between the rows of out. */
function multiplyBlock(out: usize, outStride: usize, x: usize, n: i32, panel: usize, rows: i32, cols: i32): void {
  const stride = <usize>cols << 2
  let r = 0
  for (; r + 4 <= rows; r += 4) {
    let xRow = x
    let outRow = out
    let i = 0
    for (; i + 2 <= n; i += 2) {
      dot4x2(outRow, outRow + outStride, panel, stride, xRow, xRow + stride, cols)
      xRow += stride << 1
      outRow += outStride << 1
    }
    if (i < n) dot4x1<Float32Row>(outRow, panel, stride, xRow, cols)
    panel += stride << 2
    out += 16
  }
  for (; r < rows; r++) {
    for (let i = 0; i < n; i++) dot1x1<Float32Row>(out + <usize>i * outStride, panel, x + <usize>i * stride, cols)
    panel += stride
    out += 4
  }
}

function addBias(out: usize, bias: usize, n: i32, rows: i32): void {
  for (let i = 0; i < n; i++) {
    addRows(out, out, bias, rows)
    out += <usize>rows << 2
  }
}

/**
 * x [n, cols], weight [rows, cols], out [n, rows]; bias 0 = none.
 * scratch: panelRows * cols floats, unused where `linearScratchBytes` of the binding is zero.
 */
export function linear(
  out: usize,
  x: usize,
  n: i32,
  weight: Weight,
  rows: i32,
  bias: usize,
  scratch: usize,
  panelRows: i32,
): void {
  const cols = weight.cols
  const format = weight.format
  const stride = weight.stride
  if (n == 1 && format == FLOAT32) {
    multiplyRow<Float32Row>(out, x, weight.rows, stride, rows, cols)
  } else if (n == 1 && format == BFLOAT16) {
    multiplyRow<BFloat16Row>(out, x, weight.rows, stride, rows, cols)
  } else {
    const xStride = <usize>cols << 2
    const blockRows = max<i32>(2, <i32>(BLOCK_BYTES / xStride) & ~1)
    for (let r = 0; r < rows; r += panelRows) {
      const count = min<i32>(panelRows, rows - r)
      const panel = format == FLOAT32 ? weight.rows + <usize>r * stride : scratch
      if (format != FLOAT32) {
        for (let i = 0; i < count; i++) dequantizeRow(scratch + <usize>i * xStride, weight, <usize>(r + i))
      }
      for (let i = 0; i < n; i += blockRows) {
        const blockOut = out + ((<usize>i * <usize>rows + <usize>r) << 2)
        multiplyBlock(blockOut, <usize>rows << 2, x + <usize>i * xStride, min<i32>(blockRows, n - i), panel, count, cols)
      }
    }
  }
  if (bias) addBias(out, bias, n, rows)
}
