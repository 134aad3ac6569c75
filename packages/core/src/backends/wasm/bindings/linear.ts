import { linearKernel } from '../../../ops/linear.ts'
import type { LinearAttrs } from '../../../ops/linear.ts'
import { matrixShape } from '../../matrix-shape.ts'
import { asWasmWeight, wasmKernel } from '../wasm-kernel.ts'
import type { Pointer } from '../wasm-kernels.ts'
import type { WasmPackedWeight } from '../wasm-packed-weight.ts'
import type { WasmRuntime } from '../wasm-runtime.ts'

/** A panel of widened rows stays in the second-level cache beside a block of activations. */
const panelBytes = 128 * 1024
const maxPanelRows = 64

export const linearConfig = wasmKernel<LinearAttrs>(linearKernel, ({ inputs, attrs, runtime }) => {
  const weight = asWasmWeight(attrs.weight)
  const [n] = matrixShape(inputs.x)
  const out = runtime.createOutput(n, weight.rows)
  const [scratch = 0] = runtime.heap.scratch(linearScratchBytes(weight, n))
  runLinear(runtime, weight, {
    out: out.pointer,
    x: runtime.pointerOf(inputs.x),
    n,
    bias: runtime.optionalPointerOf(inputs.bias),
    scratch,
  })
  return out.tensor
})

export interface LinearArrays {
  readonly out: Pointer // [n, rows]
  readonly x: Pointer // [n, cols]
  readonly n: number
  readonly bias: Pointer // [rows] or 0
  readonly scratch: Pointer // linearScratchBytes
}

export function runLinear({ kernels }: WasmRuntime, weight: WasmPackedWeight, arrays: LinearArrays): void {
  const { rows, cols, pointer } = weight
  const { out, x, n, bias, scratch } = arrays
  kernels.linear(out, x, n, pointer, rows, bias, scratch, panelRowsOf(cols, n))
}

/** Room for one panel of widened rows; float32 rows are used where they lie, bfloat16 ones are widened in registers for one row. */
export function linearScratchBytes({ format, cols }: WasmPackedWeight, n: number): number {
  if (format === 'float32' || (format === 'bfloat16' && n === 1)) return 0
  return panelRowsOf(cols, n) * cols * Float32Array.BYTES_PER_ELEMENT
}

/** A multiple of the register tile's four rows. Any value gives the same bits. */
function panelRowsOf(cols: number, n: number): number {
  if (n === 1) return 4
  const rows = Math.floor(panelBytes / (cols * Float32Array.BYTES_PER_ELEMENT) / 4) * 4
  return Math.min(maxPanelRows, Math.max(4, rows))
}
