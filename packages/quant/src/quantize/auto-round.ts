import { matMul, tensor2d, tidy } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import { InvalidConfigError } from '@octavo/core/backend'
import type { GroupedWeight } from '@octavo/core/quantization'
import type { WeightScheme } from '../weight-scheme.ts'
import { packWeight } from './pack-weight.ts'
import type { QuantizedParts } from './pack-weight.ts'
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
  /** The squared error of the outputs of all tokens together, of each row's best step. */
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
 * best step is kept, for each row. The loss here is the squared error of the layer's own outputs over all calibration tokens, which
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
  const best = new BestRows(rounding.parts(), rows, cols)
  let nearestLoss = 0
  for (let step = 0; step <= steps; step++) {
    const errors = rounding.round()
    const gradient = product(errors, moments, rows)
    best.offer(rounding.parts(), rowLosses(errors, gradient, rows))
    if (step === 0) nearestLoss = best.loss
    if (step < steps) rounding.descend(gradient, learningRate * (1 - step / steps))
  }
  moments.dispose()
  const weight = packWeight(schemeFormat(scheme), [rows, cols], best.parts)
  return { weight, loss: best.loss, nearestLoss }
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

function rowLosses(errors: Float32Array, gradient: Float32Array, rows: number): Float64Array {
  const cols = errors.length / rows
  const losses = new Float64Array(rows)
  for (let at = 0; at < errors.length; at++) losses[Math.floor(at / cols)]! += errors[at]! * gradient[at]!
  return losses
}

/** The best step of each row: rows share nothing. */
class BestRows {
  readonly parts: QuantizedParts
  readonly #losses: Float64Array
  readonly #cols: number

  constructor({ codes, scales, order }: QuantizedParts, rows: number, cols: number) {
    const { values, zeros } = scales
    this.parts = { codes: codes.slice(), scales: { values: values.slice(), zeros: zeros && zeros.slice() }, order }
    this.#losses = new Float64Array(rows).fill(Infinity)
    this.#cols = cols
  }

  get loss(): number {
    return this.#losses.reduce((sum, loss) => sum + loss, 0)
  }

  offer({ codes, scales }: QuantizedParts, losses: Float64Array): void {
    const groups = scales.values.length / losses.length
    losses.forEach((loss, row) => {
      if (loss >= this.#losses[row]!) return
      this.#losses[row] = loss
      copyRow(this.parts.codes, codes, { row, width: this.#cols })
      copyRow(this.parts.scales.values, scales.values, { row, width: groups })
      if (scales.zeros !== null) copyRow(this.parts.scales.zeros!, scales.zeros, { row, width: groups })
    })
  }
}

function copyRow<T extends Uint8Array | Float32Array>(
  to: T,
  from: T,
  { row, width }: { row: number; width: number },
): void {
  to.set(from.subarray(row * width, (row + 1) * width), row * width)
}
