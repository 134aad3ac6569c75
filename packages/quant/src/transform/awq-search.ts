import { matMul, tensor2d, tidy } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import { QuantizationError } from '@octavo/core/quantization'
import type { DecoderLayer, LayerModule, SublayerKind } from '../decoder-layer.ts'
import { inModule } from '../quantize/pass-options.ts'
import type { WeightScheme } from '../weight-scheme.ts'
import type { AwqInputs, BatchInput } from './awq-inputs.ts'
import { addRelativeMagnitudes, awqScales } from './awq-scales.ts'
import type { AwqTrial } from './awq-scales.ts'
import { scaleColumns } from './fold-scales.ts'
import { roundValues } from './round-values.ts'
import type { SmoothPlace } from './smooth-place.ts'

export interface AwqSearchOptions {
  readonly inputs: AwqInputs
  readonly trials: readonly AwqTrial[]
  /** Of the modules that will be quantized; scales in trials are found by the extremes, whatever its observer. */
  readonly schemes: ReadonlyMap<LayerModule, WeightScheme>
}

export interface AwqResult {
  readonly scales: Float32Array
  readonly trial: AwqTrial
  /** Mean squared error at the parent's output. */
  readonly error: number
  /** The same of the first trial. */
  readonly firstError: number
}

/** A reader of the place that will be quantized. */
interface Reader {
  readonly module: LayerModule
  readonly scheme: WeightScheme
  readonly original: Float32Array
}

/**
 * The scales of a place's channels with which quantized readers change their parent's output least (AWQ, Lin et al. 2023, arXiv
 * 2306.00978). The layer is as before afterwards. `null`: no token reaches the place.
 *
 * @throws QuantizationError where no trial gives a finite error
 */
export function searchScales(layer: DecoderLayer, place: SmoothPlace, options: AwqSearchOptions): AwqResult | null {
  const { inputs, trials, schemes } = options
  const channels = inputs.magnitudes.get(place.balance[0]!)
  if (channels === undefined) return null
  const readers = place.balance.flatMap((module): Reader[] => {
    const scheme = schemes.get(module)
    return scheme === undefined
      ? []
      : [{ module, scheme: { ...scheme, observer: 'minmax' }, original: module.weight() }]
  })
  const inputMeans = channels.sums.map((sum) => sum / channels.numTokens)
  const weightMeans = meanRelativeMagnitudes(readers, inputMeans.length)
  const measure = createMeasure(layer, place, { inputs, readers })
  let best: AwqResult | null = null
  let firstError = NaN
  for (const trial of trials) {
    const scales = awqScales(trial, inputMeans, weightMeans)
    const error = measure(scales)
    if (trial === trials[0]) firstError = error
    if (error < (best?.error ?? Infinity)) best = { scales, trial, error, firstError }
  }
  for (const { module, original } of readers) module.setWeight(original)
  if (best === null)
    throw new QuantizationError(
      `no scales give a finite error behind ${place.smooth.name}; the model computes values that are no numbers on these calibration texts, or its weights hold some`,
      { layer: layer.name },
    )
  return best
}

function meanRelativeMagnitudes(readers: readonly Reader[], cols: number): Float64Array {
  const sums = new Float64Array(cols)
  let numRows = 0
  for (const { module, scheme, original } of readers) {
    addRelativeMagnitudes({ values: original, rows: module.rows, cols }, scheme, sums)
    numRows += module.rows
  }
  return sums.map((sum) => sum / numRows)
}

interface MeasureContext {
  readonly inputs: AwqInputs
  readonly readers: readonly Reader[]
}

/** The mean squared error at the parent's output, of readers that are quantized with their columns scaled. */
type Measure = (scales: Float32Array) => number

function createMeasure(layer: DecoderLayer, { parent }: SmoothPlace, context: MeasureContext): Measure {
  const trialOf = createTrials(layer, context.readers)
  return typeof parent === 'string'
    ? measureSublayer(layer, parent, { ...context, trialOf })
    : measureModule(parent, { ...context, trialOf })
}

/** `Q(W s) / s`, in memory that the next trial writes over. */
type TrialOf = (reader: Reader, scales: Float32Array) => Float32Array

function createTrials(layer: DecoderLayer, readers: readonly Reader[]): TrialOf {
  const buffers = new Map(readers.map(({ module, original }) => [module, new Float32Array(original.length)]))
  return ({ module, scheme, original }, scales) => {
    const values = buffers.get(module)!
    values.set(original)
    scaleColumns(values, scales)
    const { rows, cols } = module
    inModule(layer, module, () => roundValues({ values, rows, cols }, scheme))
    return scaleColumns(
      values,
      scales.map((scale) => 1 / scale),
    )
  }
}

/** Biases and what is not quantized cancel out: the error is what the weight's difference makes of the inputs. */
function measureModule(module: LayerModule, context: MeasureContext & { readonly trialOf: TrialOf }): Measure {
  const { inputs, readers, trialOf } = context
  const reader = readers[0]!
  const { rows, cols } = module
  const given = inputs.rows.get(module)!
  const numTokens = given.length / cols
  return (scales) => {
    const difference = trialOf(reader, scales)
    for (let i = 0; i < difference.length; i++) difference[i]! -= reader.original[i]!
    const output = valuesOf(() =>
      matMul(tensor2d(given, [numTokens, cols]), tensor2d(difference, [rows, cols]), false, true),
    )
    let sum = 0
    for (let i = 0; i < output.length; i++) sum += output[i]! ** 2
    return sum / output.length
  }
}

/** `tidy` would look at every element of an array that leaves it. */
export function valuesOf(compute: () => Tensor2D): Float32Array {
  const result = tidy(compute)
  const values = result.dataSync<'float32'>()
  result.dispose()
  return values
}

function measureSublayer(
  layer: DecoderLayer,
  kind: SublayerKind,
  context: MeasureContext & { readonly trialOf: TrialOf },
): Measure {
  const { inputs, readers, trialOf } = context
  const batches = inputs.sublayers[kind]
  const { hiddenSize } = layer.config
  const run = ({ batch, values }: BatchInput): Float32Array =>
    valuesOf(() =>
      layer.runSublayer({ kind, batch, input: tensor2d(values, [values.length / hiddenSize, hiddenSize]) }),
    )
  const expected = batches.map((input) => run(input).slice())
  return (scales) => {
    for (const reader of readers) reader.module.setWeight(trialOf(reader, scales))
    let [sum, count] = [0, 0]
    batches.forEach((input, i) => {
      const output = run(input)
      const reference = expected[i]!
      const addRow = (row: number): void => {
        for (let at = row * hiddenSize; at < (row + 1) * hiddenSize; at++) sum += (output[at]! - reference[at]!) ** 2
        count += hiddenSize
      }
      const shown = layer.shownRows(input.batch)
      if (shown !== null) shown.forEach(addRow)
      else for (let row = 0; row < output.length / hiddenSize; row++) addRow(row)
    })
    return sum / count
  }
}
