import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
import type { RowRange } from '../loading/weight-source.ts'
import type { GatedActivationKind } from '../ops/gated-activation.ts'
import { gatedLinear } from '../ops/gated-linear.ts'
import { linear } from '../ops/linear.ts'
import { linearParts } from '../ops/linear-parts.ts'
import type { WeightLoader } from './weight-loader.ts'

/** Which part of which tensors one linear layer of this rank takes. */
export interface LinearSlice {
  /** Names up to the dot before `weight`; their rows are put one under the other. */
  readonly prefixes: readonly string[]
  /** `[outFeatures, inFeatures]` of all of them together, before `rowOrder` and `cols` pick. */
  readonly shape: readonly [outFeatures: number, inFeatures: number]
  /** The checkpoint stores `[in, out]`. */
  readonly isTransposed: boolean
  /** Rows to keep, in order; `null` keeps all. */
  readonly rowOrder: Int32Array | null
  /** Columns to keep; `null` keeps all. */
  readonly cols: RowRange | null
}

/** A loaded weight `[rows, cols]`, freed together with the loader that read it. */
export interface LoadedLinear {
  /** x `[n, cols]` → `x @ W^T + bias` `[n, rows]`. */
  apply(x: Tensor2D, bias: Tensor1D | null): Tensor2D
  /** As `apply`, then `act(gate) * up` of its two halves → `[n, rows / 2]`. */
  applyGated(x: Tensor2D, bias: Tensor1D | null, kind: GatedActivationKind): Tensor2D
  /** As `apply`, cut into parts `[n, width]`. */
  applyParts(x: Tensor2D, bias: Tensor1D | null, widths: readonly number[]): Tensor2D[]
}

/** How a linear layer stores and applies its weight: the seam for quantization methods. */
export interface LinearMethod {
  load(loader: WeightLoader, slice: LinearSlice): LoadedLinear
}

/** Weights as stored, one tensor `<prefix>.weight`; GGUF's blocks count too, since kernels widen them on the fly. */
export const unquantized: LinearMethod = {
  load(loader, { prefixes, shape, isTransposed, rowOrder, cols }) {
    const weight = loader.matrix({
      names: prefixes.map((prefix) => `${prefix}.weight`),
      expectedShape: shape,
      transpose: isTransposed,
      ...(rowOrder === null ? {} : { rowOrder }),
      ...(cols === null ? {} : { cols }),
    })
    return {
      apply: (x, bias) => linear(x, weight, bias),
      applyGated: (x, bias, kind) => gatedLinear(x, weight, { bias, kind }),
      applyParts: (x, bias, widths) => linearParts(x, weight, { bias, widths }),
    }
  },
}
