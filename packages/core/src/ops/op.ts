import { engine, env, getBackend, getKernel, Tensor } from '@tensorflow/tfjs-core'
import type { NamedAttrMap, NamedTensorMap, TensorInfo } from '@tensorflow/tfjs-core'

/**
 * Whether to run the fused kernel `name`: the active backend must have it, and no gradient tape may be on.
 * tfjs looks gradients up by kernel name and ours have none, so under a tape the composite of standard ops runs instead.
 */
export function hasKernel(name: string): boolean {
  return engine().state.gradientDepth === 0 && getKernel(name, getBackend()) !== undefined
}

/**
 * Runs a fused kernel of the active backend, after `hasKernel`; `T` is what the kernel returns, a tensor or a list of
 * tensors. Calls it as tfjs's engine does, but without the engine's bookkeeping for tapes and profiles: at several hundred
 * ops a token that takes longer than all but the largest kernels.
 */
export function runOp<T extends Tensor | Tensor[]>(name: string, inputs: NamedTensorMap, attrs: object): T {
  const tf = engine()
  // tfjs types attrs as JSON-like values but only hands the object through: ours hold handles and typed arrays.
  const values = attrs as NamedAttrMap
  const kernel = getKernel(name, getBackend())
  if (tf.state.profiling || env().getBool('DEBUG') || kernel === undefined) return tf.runKernel<T>(name, inputs, values)
  const output = kernel.kernelFunc({ inputs, attrs: values, backend: tf.backend })
  const tensors = Array.isArray(output) ? output.map(toTensor) : toTensor(output)
  return tensors as T
}

function toTensor(info: TensorInfo): Tensor {
  return info instanceof Tensor ? info : engine().makeTensorFromTensorInfo(info)
}
