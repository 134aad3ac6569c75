import { engine, getBackend, getKernel } from '@tensorflow/tfjs-core'
import type { NamedAttrMap, NamedTensorMap, Tensor } from '@tensorflow/tfjs-core'

/**
 * Whether to run the fused kernel `name`: the active backend must have it, and no gradient tape may be on.
 * tfjs looks gradients up by kernel name and ours have none, so under a tape the composite of standard ops runs instead.
 */
export function hasKernel(name: string): boolean {
  return engine().state.gradientDepth === 0 && getKernel(name, getBackend()) !== undefined
}

/** Runs a fused kernel of the active backend; `T` is what the kernel returns, a tensor or a list of tensors. */
export function runOp<T extends Tensor | Tensor[]>(name: string, inputs: NamedTensorMap, attrs: object): T {
  // tfjs types attrs as JSON-like values but only hands the object through: ours hold handles and typed arrays.
  return engine().runKernel<T>(name, inputs, attrs as NamedAttrMap)
}
