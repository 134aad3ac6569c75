import { matMul, tensor2d, tidy } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import { InvalidConfigError } from '@octavo/core/backend'
import type { GroupedWeight } from '@octavo/core/quantization'
import type { WeightScheme } from '../weight-scheme.ts'
import { packWeight } from './pack-weight.ts'
import { checkScheme, schemeFormat } from './scheme-format.ts'
import { TunedRounding } from './tuned-rounding.ts'
import type { WeightMatrix } from './weight-matrix.ts'

export interface AutoRoundOptions {
  /** Default 200. */
  readonly steps?: number
  /** Of the first step, falling in a line to zero; default 1 / steps, so that a value can go through half of a code's width. */
  readonly learningRate?: number
}

export interface AutoRoundResult {
  readonly weight: GroupedWeight
  /** The squared error of the outputs of all tokens together, of the best step. */
  readonly loss: number
  /** That of rounding to nearest, where it began. */
  readonly nearestLoss: number
}

/** @throws InvalidConfigError */
export function resolveAutoRoundOptions(options: AutoRoundOptions): Required<AutoRoundOptions> {
  const { steps = 200 } = options
  if (!Number.isInteger(steps) || steps < 1)
    throw new InvalidConfigError('steps', `must be a whole number of 1 or more, got ${steps}`)
  const { learningRate = 1 / steps } = options
  if (!(learningRate > 0 && learningRate <= 1))
    throw new InvalidConfigError('learningRate', `must be above 0 and at most 1, got ${learningRate}`)
  return { steps, learningRate }
}

/**
 * AutoRound's sign gradient descent (Cheng et al. 2023, arXiv 2309.05516): what is added to each weight before it is rounded,
 * at most half a code, and by how much each group's extremes shrink are learned from the signs of the gradients alone; the
 * best step is kept. Here the loss is the squared error of the layer's own outputs over all calibration tokens, which
 * second moments give exactly (`gram` `[cols, cols]`, sums of xᵀx in the upper triangle): AutoRound's own is that of the
 * decoder layer, on few tokens a step.
 *
 * @throws InvalidConfigError for a scheme that no weight can have, or that has no range to tune.
 * @throws QuantizationError where a weight is not finite.
 */
export function quantizeByAutoRound(
  matrix: WeightMatrix,
  gram: Float64Array,
  { scheme, ...options }: AutoRoundOptions & { readonly scheme: WeightScheme },
): AutoRoundResult {
  const { steps, learningRate } = resolveAutoRoundOptions(options)
  checkAutoRoundScheme(scheme)
  const { rows, cols } = matrix
  const rounding = new TunedRounding(matrix, scheme)
  const moments = symmetric(gram, cols)
  let [best, bestLoss, nearestLoss] = [rounding.parts(), Infinity, Infinity]
  for (let step = 0; step <= steps; step++) {
    const errors = rounding.round()
    const gradient = product(errors, moments, rows)
    const loss = dot(errors, gradient)
    if (step === 0) nearestLoss = loss
    if (loss < bestLoss) [best, bestLoss] = [rounding.parts(), loss]
    if (step < steps) rounding.descend(gradient, learningRate * (1 - step / steps))
  }
  moments.dispose()
  const weight = packWeight(schemeFormat(scheme), [rows, cols], best)
  return { weight, loss: bestLoss, nearestLoss }
}

/** @throws InvalidConfigError */
export function checkAutoRoundScheme(scheme: WeightScheme): void {
  checkScheme(scheme)
  const refuse = (field: string, reason: string): never => {
    throw new InvalidConfigError(`scheme.${field}`, `${reason}; quantize these with gptq or roundToNearest`)
  }
  if (scheme.type !== 'int') refuse('type', 'autoRound learns how integers are rounded, not floats')
  if (scheme.strategy !== 'group' && scheme.strategy !== 'channel')
    refuse('strategy', `autoRound tunes the range of groups and channels, not of a ${scheme.strategy}`)
  if (scheme.observer !== 'minmax')
    throw new InvalidConfigError(
      'scheme.observer',
      `autoRound learns ranges itself, from the extremes on: say 'minmax'`,
    )
}

function symmetric(gram: Float64Array, cols: number): Tensor2D {
  const values = new Float32Array(cols * cols)
  for (let i = 0; i < cols; i++) {
    for (let j = i; j < cols; j++) {
      const sum = gram[i * cols + j]!
      values[i * cols + j] = sum
      values[j * cols + i] = sum
    }
  }
  return tensor2d(values, [cols, cols])
}

/** errors `[rows, cols]` times moments: half the gradient by the quantized weights. */
function product(errors: Float32Array, moments: Tensor2D, rows: number): Float32Array {
  const output = tidy(() => matMul(tensor2d(errors.slice(), [rows, moments.shape[0]]), moments))
  const values = output.dataSync<'float32'>()
  output.dispose()
  return values
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!
  return sum
}
