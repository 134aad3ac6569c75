import { engine, env, getBackend, getKernel, Tensor } from '@tensorflow/tfjs-core'
import type { NamedAttrMap, NamedTensorMap, TensorInfo } from '@tensorflow/tfjs-core'
import { NoGradientError } from '../errors.ts'
import { assert } from '../util/assert.ts'

/**
 * Whether a gradient tape records what is computed now (tfjs's `Engine.isTapeOn`): inside a kernel, or the forward function
 * of a `customGrad`, it does not look.
 */
export function isTapeOn(): boolean {
  const { gradientDepth, kernelDepth } = engine().state
  return gradientDepth > 0 && kernelDepth === 0
}

/**
 * For an op that has no gradient: under a tape it throws instead of leaving gradients out. tfjs cannot tell which tensors
 * will be asked for, so it does not matter what the inputs are.
 * @throws NoGradientError
 */
export function refuseTape(op: string, remedy: string): void {
  if (isTapeOn()) {
    throw new NoGradientError(
      `${op} has no gradient, but a gradient tape is on: gradients through it would silently be missing. ${remedy}`,
    )
  }
}

/**
 * Whether to run the fused kernel `name`: the active backend must have it, and no gradient tape may record.
 * tfjs looks gradients up by kernel name and ours have none, so under a tape the composite of standard ops runs instead.
 */
export function hasKernel(name: string): boolean {
  return !isTapeOn() && getKernel(name, getBackend()) !== undefined
}

/**
 * Runs a fused kernel of the active backend, after `hasKernel`; `T` is what the kernel returns, a tensor or a list of
 * tensors. Calls it as tfjs's engine does, but without the engine's bookkeeping for tapes and profiles: at several hundred
 * ops a token that takes longer than all but the largest kernels.
 */
export function runOp<T extends Tensor | Tensor[]>(name: string, inputs: NamedTensorMap, attrs: object): T {
  const tf = engine()
  assert(!isTapeOn(), 'a kernel ran under a gradient tape, which does not see it')
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
