import { slice } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import { assert } from '../util/assert.ts'
import { hasKernel, runOp } from './op.ts'

/** Tensor inputs: `x` `[n, sum of widths]`; one output `[n, width]` per width. */
export const splitColumnsKernel = 'OctavoSplitColumns'

export interface SplitColumnsAttrs {
  readonly widths: readonly number[]
}

/** Cuts x `[n, sum of widths]` into parts `[n, width]`, left to right. */
export function splitColumns(x: Tensor2D, widths: readonly number[]): Tensor2D[] {
  const total = widths.reduce((sum, width) => sum + width, 0)
  assert(x.shape[1] === total, `splitColumns: x has ${x.shape[1]} columns, the parts ${total}`)
  const attrs: SplitColumnsAttrs = { widths }
  return hasKernel(splitColumnsKernel)
    ? runOp<Tensor2D[]>(splitColumnsKernel, { x }, attrs)
    : splitColumnsComposite(x, widths)
}

export function splitColumnsComposite(x: Tensor2D, widths: readonly number[]): Tensor2D[] {
  let start = 0
  return widths.map((width) => {
    const part = slice(x, [0, start], [x.shape[0], width])
    start += width
    return part
  })
}
