import { matMul, tensor2d } from '@tensorflow/tfjs-core'
import { groupWidth, observeScales } from '../quantize/observe-scales.ts'
import { createRounder } from '../quantize/rounder.ts'
import type { ColumnScales, Rounder } from '../quantize/rounder.ts'
import type { WeightMatrix } from '../quantize/weight-matrix.ts'
import type { WeightScheme } from '../weight-scheme.ts'
import { valuesOf } from './awq-search.ts'
import { cutWeights, GroupMoments, searchRoughLimits } from './clip-limits.ts'
import { scaleColumns } from './fold-scales.ts'

/** What is tried for a channel, of its scale so far. */
const factors = [0.8, 0.85, 0.9, 0.93, 0.96, 0.98, 1.02, 1.04, 1.07, 1.1, 1.15, 1.25]
/** Columns whose gradients one product brings up to date. */
const blockColumns = 128

/** A weight that reads the channels and will be rounded. */
export interface ScaleReader {
  readonly matrix: WeightMatrix
  readonly scheme: WeightScheme
}

export interface DescentOptions {
  /** Of the readers' inputs: xᵀx in the upper triangle, `[cols, cols]`. */
  readonly sums: Float64Array
  /** The channel that each column reads. */
  readonly channelOf: Int32Array // [cols]
  readonly sweeps: number
}

export interface DescentResult {
  /** Factors of the readers' columns, by channel. */
  readonly scales: Float32Array
  /** Squared error of all readers' outputs, in proportion, with rows cut: by the scales of before, and by these. */
  readonly firstError: number
  readonly error: number
}

/**
 * Coordinate descent over the channels' scales: of a few near its own, each channel takes the one with which the readers'
 * rounded weights change their outputs least, Σ dᵀ H d of the differences of all rows. Rows stay cut where that was best at
 * the start of the sweep.
 */
export async function descendScales(readers: readonly ScaleReader[], options: DescentOptions): Promise<DescentResult> {
  const descent = new Descent(readers, options)
  let firstError = NaN
  for (let sweep = 0; sweep < options.sweeps; sweep++) {
    descent.cutRows()
    if (sweep === 0) firstError = descent.error()
    for (const block of descent.blocks) {
      descent.visit(block)
      // Timers and signals get their turn.
      await new Promise(setImmediate)
    }
  }
  return { scales: descent.scales, firstError, error: descent.error() }
}

/** Channels from `first` on, and the places of their columns. */
interface Block {
  readonly firstChannel: number
  readonly lastChannel: number
  readonly start: number
  readonly end: number
}

interface Reader {
  readonly matrix: WeightMatrix
  readonly scheme: WeightScheme
  readonly rounder: Rounder
  readonly width: number
  /** Its rows among those of all readers. */
  readonly first: number
  readonly last: number
  /** Of each group. */
  scales: readonly ColumnScales[]
}

/** Columns lie by channel, those of one side by side, and are transposed: a column of all readers' rows is in one piece. */
class Descent {
  readonly scales: Float32Array // [channels]
  readonly blocks: readonly Block[]
  readonly #options: DescentOptions
  readonly #readers: readonly Reader[]
  readonly #cols: number
  readonly #rows: number
  readonly #order: Int32Array // column at each place
  readonly #starts: Int32Array // place of each channel's first column; one more
  readonly #moments: Float32Array // [cols, cols]
  readonly #weights: Float32Array // [cols, rows]
  /** What rounding adds to the weights, in the channels' own units. */
  readonly #differences: Float32Array // [cols, rows]
  #trial: Float32Array // [columns of a channel, rows]
  #best: Float32Array // the same
  readonly #codes: Uint8Array

  constructor(readers: readonly ScaleReader[], options: DescentOptions) {
    const { channelOf, sums } = options
    this.#options = options
    const cols = (this.#cols = channelOf.length)
    let rows = 0
    this.#readers = readers.map(({ matrix, scheme: { ...scheme } }) => {
      const first = rows
      rows += matrix.rows
      const own = { ...scheme, observer: 'minmax' } as const
      const width = groupWidth(own, cols)
      return { matrix, scheme: own, rounder: createRounder(own), width, first, last: rows, scales: [] }
    })
    this.#rows = rows
    this.#order = Int32Array.from({ length: cols }, (_, col) => col).sort(
      (a, b) => channelOf[a]! - channelOf[b]! || a - b,
    )
    this.#starts = startsOf(channelOf)
    this.scales = new Float32Array(this.#starts.length - 1).fill(1)
    this.blocks = blocksOf(this.#starts)
    this.#moments = momentsInOrder(sums, this.#order)
    this.#weights = new Float32Array(cols * rows)
    for (const { matrix, first } of this.#readers)
      for (let row = 0; row < matrix.rows; row++)
        for (let place = 0; place < cols; place++)
          this.#weights[place * rows + first + row] = matrix.values[row * cols + this.#order[place]!]!
    this.#differences = new Float32Array(cols * rows)
    let most = 0
    for (let channel = 0; channel < this.scales.length; channel++)
      most = Math.max(most, this.#starts[channel + 1]! - this.#starts[channel]!)
    this.#trial = new Float32Array(most * rows)
    this.#best = new Float32Array(most * rows)
    this.#codes = new Uint8Array(rows)
  }

  /** Looks for where rows are best cut by the scales of now, and rounds all weights so. */
  cutRows(): void {
    const { sums, channelOf } = this.#options
    const factorsOf = Float32Array.from(channelOf, (channel) => this.scales[channel]!)
    const scaled = scaleMoments(sums, factorsOf)
    for (const reader of this.#readers) {
      const { matrix, scheme, width } = reader
      const { rows, cols } = matrix
      using moments = new GroupMoments(scaled, { cols, width })
      const values = scaleColumns(matrix.values.slice(), factorsOf)
      const limits = searchRoughLimits({ values, rows, cols }, scheme, moments)
      reader.scales = byGroup({ values: cutWeights(values, limits), rows, cols }, scheme)
    }
    for (let channel = 0; channel < this.scales.length; channel++) {
      const [start, end] = [this.#starts[channel]!, this.#starts[channel + 1]!]
      for (let place = start; place < end; place++)
        this.#differencesAt(place, this.scales[channel]!, this.#differences.subarray(place * this.#rows))
    }
  }

  error(): number {
    let sum = 0
    for (const { start, end } of this.blocks) {
      const gradients = this.#gradientsOf(start, end)
      const differences = this.#differences.subarray(start * this.#rows, end * this.#rows)
      for (let at = 0; at < gradients.length; at++) sum += gradients[at]! * differences[at]!
    }
    return sum
  }

  /** Each channel of the block in turn, by gradients that hold what the ones before it took. */
  visit({ firstChannel, lastChannel, start, end }: Block): void {
    const gradients = this.#gradientsOf(start, end)
    for (let channel = firstChannel; channel < lastChannel; channel++) {
      const from = this.#starts[channel]!
      const own = gradients.subarray((from - start) * this.#rows)
      const factor = this.#bestFactor(channel, own)
      if (factor === 1) continue
      this.scales[channel]! *= factor
      this.#take(channel, { gradients, start, end })
    }
  }

  /** Leaves the changes of the best in `#best`. */
  #bestFactor(channel: number, gradients: Float32Array): number {
    let [least, best] = [0, 1]
    for (const factor of factors) {
      const change = this.#tryScale(channel, Math.fround(this.scales[channel]! * factor), gradients)
      if (change >= least) continue
      least = change
      best = factor
      ;[this.#trial, this.#best] = [this.#best, this.#trial]
    }
    return best
  }

  /** By how much the error changes; `#trial` gets the changes of the differences. */
  #tryScale(channel: number, scale: number, gradients: Float32Array): number {
    const rows = this.#rows
    const [start, end] = [this.#starts[channel]!, this.#starts[channel + 1]!]
    let change = 0
    for (let place = start; place < end; place++) {
      const at = (place - start) * rows
      const trial = this.#trial.subarray(at, at + rows)
      this.#differencesAt(place, scale, trial)
      const old = place * rows
      let [slope, squares] = [0, 0]
      for (let row = 0; row < rows; row++) {
        const step = trial[row]! - this.#differences[old + row]!
        trial[row] = step
        slope += step * gradients[at + row]!
        squares += step * step
      }
      change += 2 * slope + squares * this.#moments[place * (this.#cols + 1)]!
      for (let other = start; other < place; other++) {
        const moment = this.#moments[place * this.#cols + other]!
        const from = (other - start) * rows
        let product = 0
        for (let row = 0; row < rows; row++) product += trial[row]! * this.#trial[from + row]!
        change += 2 * moment * product
      }
    }
    return change
  }

  /** The channel's differences become what `#best` holds, and the block's later channels see it. */
  #take(
    channel: number,
    { gradients, start, end }: { readonly gradients: Float32Array; readonly start: number; readonly end: number },
  ): void {
    const rows = this.#rows
    const [from, to] = [this.#starts[channel]!, this.#starts[channel + 1]!]
    for (let place = from; place < to; place++) {
      const step = this.#best.subarray((place - from) * rows, (place - from + 1) * rows)
      const own = this.#differences.subarray(place * rows, (place + 1) * rows)
      for (let row = 0; row < rows; row++) own[row]! += step[row]!
      for (let later = to; later < end; later++) {
        const moment = this.#moments[place * this.#cols + later]!
        const gradient = gradients.subarray((later - start) * rows, (later - start + 1) * rows)
        for (let row = 0; row < rows; row++) gradient[row]! += moment * step[row]!
      }
    }
  }

  /** H d at the places, for all rows. */
  #gradientsOf(start: number, end: number): Float32Array {
    const [rows, cols] = [this.#rows, this.#cols]
    const moments = this.#moments.subarray(start * cols, end * cols)
    return valuesOf(() => matMul(tensor2d(moments, [end - start, cols]), tensor2d(this.#differences, [cols, rows])))
  }

  #differencesAt(place: number, scale: number, target: Float32Array): void {
    const from = place * this.#rows
    const col = this.#order[place]!
    for (const { rounder, width, scales, first, last } of this.#readers) {
      const column = target.subarray(first, last)
      for (let row = 0; row < column.length; row++) column[row] = this.#weights[from + first + row]! * scale
      rounder.roundColumn(column, scales[Math.floor(col / width)]!, this.#codes)
      for (let row = 0; row < column.length; row++) column[row] = -column[row]! / scale
    }
  }
}

/** Where each channel's columns begin once they are sorted, and where the last one's end. */
function startsOf(channelOf: Int32Array): Int32Array {
  const starts = new Int32Array(channelOf.reduce((most, channel) => Math.max(most, channel), -1) + 2)
  for (const channel of channelOf) starts[channel + 1]!++
  for (let channel = 1; channel < starts.length; channel++) starts[channel]! += starts[channel - 1]!
  return starts
}

function blocksOf(starts: Int32Array): Block[] {
  const blocks: Block[] = []
  for (let firstChannel = 0; firstChannel < starts.length - 1;) {
    const start = starts[firstChannel]!
    let lastChannel = firstChannel + 1
    while (lastChannel < starts.length - 1 && starts[lastChannel + 1]! - start <= blockColumns) lastChannel++
    blocks.push({ firstChannel, lastChannel, start, end: starts[lastChannel]! })
    firstChannel = lastChannel
  }
  return blocks
}

/** Around 1, which float32 holds: which error is least does not depend on it. */
function momentsInOrder(sums: Float64Array, order: Int32Array): Float32Array {
  const cols = order.length
  let trace = 0
  for (let col = 0; col < cols; col++) trace += sums[col * (cols + 1)]!
  const factor = trace === 0 ? 1 : cols / trace
  const moments = new Float32Array(cols * cols)
  for (let i = 0; i < cols; i++) {
    for (let j = i; j < cols; j++) {
      const [a, b] = [order[i]!, order[j]!]
      const value = sums[Math.min(a, b) * cols + Math.max(a, b)]! * factor
      moments[i * cols + j] = value
      moments[j * cols + i] = value
    }
  }
  return moments
}

/** Of inputs that are divided by the factors. */
function scaleMoments(sums: Float64Array, scales: Float32Array): Float64Array {
  const cols = scales.length
  const scaled = new Float64Array(sums.length)
  for (let i = 0; i < cols; i++)
    for (let j = i; j < cols; j++) scaled[i * cols + j] = sums[i * cols + j]! / scales[i]! / scales[j]!
  return scaled
}

/** The scales that the rows' weights get, of each group those of all rows. */
function byGroup(matrix: WeightMatrix, scheme: WeightScheme): ColumnScales[] {
  const { values, zeros } = observeScales(matrix, scheme)
  const { rows } = matrix
  const groups = values.length / rows
  return Array.from({ length: groups }, (_, group) => ({
    scales: Float32Array.from({ length: rows }, (_unused, row) => values[row * groups + group]!),
    zeros: zeros && Uint8Array.from({ length: rows }, (_unused, row) => zeros[row * groups + group]!),
  }))
}
