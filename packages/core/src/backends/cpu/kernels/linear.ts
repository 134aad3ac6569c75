import { linearKernel } from '../../../ops/linear.ts'
import type { LinearAttrs } from '../../../ops/linear.ts'
import type { PackedWeight } from '../../../tensor/packed-weight.ts'
import { assert } from '../../../util/assert.ts'
import { matrixShape } from '../../matrix-shape.ts'
import { cpuKernel, optionalValuesOf, valuesOf } from '../cpu-kernel.ts'
import { CpuPackedWeight } from '../cpu-packed-weight.ts'

/** Weight rows per tile: four accumulators per row of x stay in registers. */
const tileRows = 4

/**
 * out `[n, rows]` = x `[n, cols]` @ weight `[rows, cols]`^T + bias `[rows]`.
 *
 * INVARIANT: every output element is one float64 sum over `k = 0, 1, …, cols - 1` plus its bias, rounded once. Tiles
 * only choose which elements are summed side by side, so a result never depends on `n`.
 */
export function linear(
  out: Float32Array,
  x: Float32Array,
  weight: PackedWeight,
  bias: Float32Array | null,
  n: number,
): void {
  assert(weight instanceof CpuPackedWeight, 'linear: the weight was not packed by the cpu pack')
  const { rows, cols } = weight
  const inPlace = weight.asFloat32()
  const tile = inPlace ?? new Float32Array(tileRows * cols)
  const widenedRows = inPlace === null ? splitRows(tile, cols) : []
  for (let row = 0; row < rows; row += tileRows) {
    const numRows = Math.min(tileRows, rows - row)
    widenedRows.forEach((out, r) => r < numRows && weight.readRow(row + r, out))
    const tileOffset = inPlace === null ? 0 : row * cols
    if (numRows === tileRows) multiplyTile(out, x, tile, bias, n, row, rows, cols, tileOffset)
    else multiplyRows(out, x, tile, bias, n, row, rows, cols, tileOffset)
  }
}

function splitRows(tile: Float32Array, cols: number): Float32Array[] {
  return Array.from({ length: tileRows }, (_, r) => tile.subarray(r * cols, (r + 1) * cols))
}

/** Four weight rows against all of x, two rows of x at a time. */
function multiplyTile(
  out: Float32Array, // [n, rows]: columns row .. row + 4 are written
  x: Float32Array, // [n, cols]
  tile: Float32Array, // [4, cols] from tileOffset on
  bias: Float32Array | null, // [rows]
  n: number,
  row: number,
  rows: number,
  cols: number,
  tileOffset: number,
): void {
  const w0 = tileOffset
  const w1 = w0 + cols
  const w2 = w1 + cols
  const w3 = w2 + cols
  const b0 = bias === null ? 0 : bias[row]!
  const b1 = bias === null ? 0 : bias[row + 1]!
  const b2 = bias === null ? 0 : bias[row + 2]!
  const b3 = bias === null ? 0 : bias[row + 3]!
  let i = 0
  for (; i + 1 < n; i += 2) {
    const x0 = i * cols
    const x1 = x0 + cols
    let s00 = 0
    let s01 = 0
    let s02 = 0
    let s03 = 0
    let s10 = 0
    let s11 = 0
    let s12 = 0
    let s13 = 0
    for (let k = 0; k < cols; k++) {
      const p = x[x0 + k]!
      const q = x[x1 + k]!
      let w = tile[w0 + k]!
      s00 += p * w
      s10 += q * w
      w = tile[w1 + k]!
      s01 += p * w
      s11 += q * w
      w = tile[w2 + k]!
      s02 += p * w
      s12 += q * w
      w = tile[w3 + k]!
      s03 += p * w
      s13 += q * w
    }
    let o = i * rows + row
    out[o] = s00 + b0
    out[o + 1] = s01 + b1
    out[o + 2] = s02 + b2
    out[o + 3] = s03 + b3
    o += rows
    out[o] = s10 + b0
    out[o + 1] = s11 + b1
    out[o + 2] = s12 + b2
    out[o + 3] = s13 + b3
  }
  if (i === n) return
  const x0 = i * cols
  let s0 = 0
  let s1 = 0
  let s2 = 0
  let s3 = 0
  for (let k = 0; k < cols; k++) {
    const p = x[x0 + k]!
    s0 += p * tile[w0 + k]!
    s1 += p * tile[w1 + k]!
    s2 += p * tile[w2 + k]!
    s3 += p * tile[w3 + k]!
  }
  const o = i * rows + row
  out[o] = s0 + b0
  out[o + 1] = s1 + b1
  out[o + 2] = s2 + b2
  out[o + 3] = s3 + b3
}

/** The last one to three weight rows, element by element, in the same order of summation. */
function multiplyRows(
  out: Float32Array,
  x: Float32Array,
  tile: Float32Array,
  bias: Float32Array | null,
  n: number,
  row: number,
  rows: number,
  cols: number,
  tileOffset: number,
): void {
  for (let r = row; r < rows; r++) {
    const w = tileOffset + (r - row) * cols
    for (let i = 0; i < n; i++) {
      let sum = 0
      for (let k = 0; k < cols; k++) sum += x[i * cols + k]! * tile[w + k]!
      out[i * rows + r] = sum + (bias === null ? 0 : bias[r]!)
    }
  }
}

export const linearKernelConfig = cpuKernel<LinearAttrs>(linearKernel, ({ inputs, attrs, backend }) => {
  const { weight } = attrs
  const [n] = matrixShape(inputs.x)
  const out = new Float32Array(n * weight.rows)
  linear(out, valuesOf(backend, inputs.x), weight, optionalValuesOf(backend, inputs.bias), n)
  return backend.makeTensorInfo([n, weight.rows], 'float32', out)
})
