import { dequantizeRow, rowBytes, type BlockFormat } from '@octavo/core/loading'
import { describe, expect, it } from 'vitest'
import { quantizeRows } from './quantize-rows.ts'

const rows = 64
const cols = 1024

/** Park and Miller's generator. */
function createUniform(seed: number): () => number {
  let state = seed
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647
}

/** Laplace's distribution: peaked and with long tails, as weights are. */
function laplaceValues(): Float32Array {
  const uniform = createUniform(20_261_130)
  return Float32Array.from({ length: rows * cols }, () => {
    const u = uniform() - 0.5
    return -0.02 * Math.sign(u) * Math.log(1 - 2 * Math.abs(u))
  })
}

function importanceOfColumns(): Float32Array {
  const uniform = createUniform(7)
  return Float32Array.from({ length: cols }, () => Math.exp(4 * (uniform() - 0.5)))
}

function weightedError(format: BlockFormat, importance: Float32Array | null): number {
  const values = laplaceValues()
  const bytes = quantizeRows(values, { format, cols, importance })
  const row = new Float32Array(cols)
  let sum = 0
  for (let r = 0; r < rows; r++) {
    dequantizeRow(format, bytes, r * rowBytes(format, cols), row, cols)
    for (let col = 0; col < cols; col++) sum += (importance?.[col] ?? 1) * (row[col]! - values[r * cols + col]!) ** 2
  }
  return Math.sqrt(sum / values.length)
}

/** `ggml_quantize_chunk` (ggml of node-llama-cpp 3.22.1) on the same values: without, and with the importance as its imatrix. */
const ggmlErrors: Readonly<Record<BlockFormat, readonly [plain: number, weighted: number]>> = {
  q8_0: [1.877e-4, 2.4158e-4],
  q4_0: [2.9922e-3, 3.5778e-3],
  q4_1: [2.5902e-3, 2.764e-3],
  q5_0: [1.4974e-3, 1.7894e-3],
  q5_1: [1.2542e-3, 1.3376e-3],
  q4_k: [2.3841e-3, 2.821e-3],
  q5_k: [1.2072e-3, 1.4416e-3],
  q6_k: [6.0851e-4, 7.2768e-4],
}

describe('quantizeRows', () => {
  it.each(Object.entries(ggmlErrors) as [BlockFormat, [number, number]][])(
    "has no larger error than ggml's quantizer in %s",
    (format, [plain, weighted]) => {
      expect(weightedError(format, null)).toBeLessThanOrEqual(plain)
      expect(weightedError(format, importanceOfColumns())).toBeLessThanOrEqual(weighted)
    },
  )

  it.each(Object.keys(ggmlErrors) as BlockFormat[])('keeps zeros, constants and lone values in %s', (format) => {
    const values = new Float32Array(4 * 256)
    values.fill(0.5, 256, 512)
    values.fill(-0.25, 512, 768)
    values[900] = 3
    const bytes = quantizeRows(values, { format, cols: 256 })
    const row = new Float32Array(256)
    for (let r = 0; r < 4; r++) {
      dequantizeRow(format, bytes, r * rowBytes(format, 256), row, 256)
      for (let col = 0; col < 256; col++) expect(Math.abs(row[col]! - values[r * 256 + col]!)).toBeLessThanOrEqual(0.02)
    }
  })

  it('counts all columns alike in a block where none counts', () => {
    const importance = new Float32Array(cols)
    expect(quantizeRows(laplaceValues(), { format: 'q4_k', cols, importance })).toEqual(
      quantizeRows(laplaceValues(), { format: 'q4_k', cols }),
    )
  })
})
