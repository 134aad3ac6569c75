import { tensor2d, type Tensor2D } from '@tensorflow/tfjs-core'
import { hasKernel, refuseTape, runOp } from './op.ts'

/** Tensor input: `x`, a float32 matrix; output float32 of the attrs' shape. */
export const mapValuesKernel = 'OctavoMapValues'

export interface MapValuesAttrs {
  readonly shape: [number, number]
  /** Writes every element of `output`. Neither array may be kept, nor `input` written. */
  readonly map: (input: Float32Array, output: Float32Array) => void
}

/**
 * A matrix that the host makes of another one's values. A backend whose tensors lie in the host's memory has a kernel for
 * it, which lends its own arrays: read by `dataSync`, a tensor's memory could not be used again.
 *
 * @throws NoGradientError under a gradient tape.
 */
export function mapValues(x: Tensor2D, attrs: MapValuesAttrs): Tensor2D {
  refuseTape('mapValues', 'Exchange values with other ranks before the tape starts, or after it ended.')
  return hasKernel(mapValuesKernel) ? runOp<Tensor2D>(mapValuesKernel, { x }, attrs) : mapValuesComposite(x, attrs)
}

export function mapValuesComposite(x: Tensor2D, { shape, map }: MapValuesAttrs): Tensor2D {
  const output = new Float32Array(shape[0] * shape[1])
  map(x.dataSync<'float32'>(), output)
  return tensor2d(output, shape, 'float32')
}
