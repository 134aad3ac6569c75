import { matMul, slice, tensor2d } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import type { DecoderLayer, LayerModule } from '../decoder-layer.ts'
import { inModule } from '../quantize/pass-options.ts'
import type { WeightScheme } from '../weight-scheme.ts'
import { numShown, RowSample } from './awq-inputs.ts'
import { valuesOf } from './awq-search.ts'
import { roundValues } from './round-values.ts'

/** AutoAWQ's search: the largest magnitudes down to 55 % in steps of 5 %, on some 512 tokens. */
const clipSteps = 10
const clipGrid = 20
const clipTokens = 512
/** Inputs that are held at once; hundreds of experts are watched in several rounds. */
const maxInputBytes = 2 ** 28

/**
 * Cuts weights at the magnitude, of each row or of each of its groups, at which their rounded values change the outputs
 * least. Queries and keys meet in a product of their own, so that theirs are left alone.
 */
export async function clipWeights(layer: DecoderLayer, schemes: ReadonlyMap<LayerModule, WeightScheme>): Promise<void> {
  const { qkv } = layer.design.attention
  const spared = new Set(('qkv' in qkv ? [qkv.qkv] : [qkv.q, qkv.k]).map((name) => `${layer.name}.${name}`))
  const stride = Math.max(1, Math.floor(numShown(layer) / clipTokens))
  for (const round of roundsOf([...schemes.keys()].filter(({ name }) => !spared.has(name)))) {
    const samples = new Map(round.map((module) => [module, new RowSample(module.cols, stride)]))
    await layer.observe(({ module, input }) => samples.get(module)?.add(input.dataSync<'float32'>()))
    for (const [module, sample] of samples) {
      const inputs = sample.values()
      // What no token reaches keeps its weights.
      if (inputs.length > 0) module.setWeight(inModule(layer, module, () => clip(module, schemes.get(module)!, inputs)))
    }
  }
}

function roundsOf(modules: readonly LayerModule[]): LayerModule[][] {
  const rounds: LayerModule[][] = []
  let bytes = Infinity
  for (const module of modules) {
    const own = 2 * clipTokens * module.cols * 4
    if (bytes + own > maxInputBytes) {
      rounds.push([])
      bytes = 0
    }
    rounds.at(-1)!.push(module)
    bytes += own
  }
  return rounds
}

function clip(module: LayerModule, scheme: WeightScheme, inputs: Float32Array): Float32Array {
  const { rows, cols } = module
  const values = module.weight()
  const width = scheme.strategy === 'group' ? scheme.groupSize! : cols
  const x = tensor2d(inputs, [inputs.length / cols, cols])
  try {
    return clipGroups({ values, rows, cols, width }, { ...scheme, observer: 'minmax' }, x)
  } finally {
    x.dispose()
  }
}

interface Groups {
  readonly values: Float32Array // [rows, cols]
  readonly rows: number
  readonly cols: number
  /** Columns of a group. */
  readonly width: number
}

function clipGroups(groups: Groups, scheme: WeightScheme, x: Tensor2D): Float32Array {
  const { values, rows, cols, width } = groups
  const count = cols / width
  const largest = largestOf(groups)
  const limits = largest.slice()
  const leastErrors = new Float64Array(rows * count).fill(Infinity)
  const trial = new Float32Array(values.length)
  for (let step = 0; step < clipSteps; step++) {
    const share = 1 - step / clipGrid
    cutTo(trial, groups, (place) => largest[place]! * share)
    roundValues({ values: trial, rows, cols }, scheme)
    for (let i = 0; i < trial.length; i++) trial[i]! -= values[i]!
    for (let group = 0; group < count; group++) {
      const errors = errorsOf(trial, groups, { x, group })
      for (let row = 0; row < rows; row++) {
        const place = row * count + group
        if (errors[row]! >= leastErrors[place]!) continue
        leastErrors[place] = errors[row]!
        limits[place] = Math.fround(largest[place]! * share)
      }
    }
  }
  cutTo(trial, groups, (place) => limits[place]!)
  return trial
}

function largestOf({ values, rows, cols, width }: Groups): Float32Array {
  const count = cols / width
  const largest = new Float32Array(rows * count)
  for (let place = 0; place < largest.length; place++)
    for (let at = place * width; at < (place + 1) * width; at++)
      largest[place] = Math.max(largest[place]!, Math.abs(values[at]!))
  return largest
}

function cutTo(target: Float32Array, { values, width }: Groups, limitOf: (place: number) => number): void {
  for (let start = 0, place = 0; start < values.length; start += width, place++) {
    const limit = limitOf(place)
    for (let at = start; at < start + width; at++) target[at] = Math.min(Math.max(values[at]!, -limit), limit)
  }
}

/** The squared error of each row's outputs that the differences in a group's columns make. */
function errorsOf(
  differences: Float32Array,
  { rows, cols, width }: Groups,
  { x, group }: { readonly x: Tensor2D; readonly group: number },
): Float64Array {
  const start = group * width
  const part = width === cols ? differences : new Float32Array(rows * width)
  if (width !== cols)
    for (let row = 0; row < rows; row++)
      part.set(differences.subarray(row * cols + start, row * cols + start + width), row * width)
  const outputs = valuesOf(() => {
    const inputs = width === cols ? x : slice(x, [0, start], [x.shape[0], width])
    return matMul(inputs, tensor2d(part, [rows, width]), false, true)
  })
  const errors = new Float64Array(rows)
  for (let at = 0; at < outputs.length; at += rows)
    for (let row = 0; row < rows; row++) errors[row]! += outputs[at + row]! ** 2
  return errors
}
