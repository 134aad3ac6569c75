import { matMul, tensor2d, tidy } from '@tensorflow/tfjs-core'
import { InvalidConfigError } from '@octavo/core/backend'
import type { GroupedWeight } from '@octavo/core/quantization'
import type { WeightScheme } from '../weight-scheme.ts'
import { columnOrders } from './column-order.ts'
import type { ColumnOrder } from './column-order.ts'
import { createGptqFactor } from './gptq-factor.ts'
import type { GptqFactor } from './gptq-factor.ts'
import { groupWidth, observeScales } from './observe-scales.ts'
import type { Scales } from './observe-scales.ts'
import { packWeight } from './pack-weight.ts'
import { createRounder } from './rounder.ts'
import type { ColumnScales } from './rounder.ts'
import { checkScheme, schemeFormat, schemeGroups } from './scheme-format.ts'
import type { WeightMatrix } from './weight-matrix.ts'

export interface GptqOptions {
  /** Default 'static'. */
  readonly order?: ColumnOrder
  /** Added to the diagonal of the moments, as a share of its mean. Default 0.01. */
  readonly dampening?: number
  /** Columns whose errors reach those behind them together. Default 128. */
  readonly blockSize?: number
}

export interface GptqResult {
  readonly weight: GroupedWeight
  /** The squared error that this adds to the outputs of all tokens together, the damping counted as tokens. */
  readonly loss: number
  /** The column at which the moments were not positive definite, so that weights are only rounded; else `null`. */
  readonly failedAt: number | null
}

/** @throws InvalidConfigError */
export function resolveGptqOptions(options: GptqOptions): Required<GptqOptions> {
  const { order = 'static', dampening = 0.01, blockSize = 128 } = options
  if (!columnOrders.includes(order))
    throw new InvalidConfigError('order', `must be one of ${columnOrders.join(', ')}, got ${JSON.stringify(order)}`)
  if (!(dampening >= 0 && dampening < Infinity))
    throw new InvalidConfigError('dampening', `must be 0 or more, got ${dampening}`)
  if (!Number.isInteger(blockSize) || blockSize < 1)
    throw new InvalidConfigError('blockSize', `must be a whole number of 1 or more, got ${blockSize}`)
  return { order, dampening, blockSize }
}

/**
 * GPTQ (Frantar et al. 2022, arXiv 2210.17323) as llm-compressor does it: column by column, what rounding takes away is
 * made up for by the columns that are still to come. `gram` `[cols, cols]` has the sums of xᵀx in its upper triangle.
 *
 * @throws InvalidConfigError for a scheme that no weight can have.
 * @throws QuantizationError where a weight is not finite.
 */
export function quantizeByGptq(
  matrix: WeightMatrix,
  gram: Float64Array,
  { scheme, ...options }: GptqOptions & { readonly scheme: WeightScheme },
): GptqResult {
  const solver = resolveGptqOptions(options)
  checkScheme(scheme)
  const groupSize = sortedGroup(scheme, matrix.cols)
  const factor = createGptqFactor(gram, matrix.cols, { ...solver, groupSize })
  return walkColumns(matrix, factor, { ...solver, scheme })
}

/** Columns that the order 'group-aware' keeps together. */
export function sortedGroup({ strategy, groupSize }: WeightScheme, cols: number): number {
  return strategy === 'group' ? groupSize! : cols
}

/** The walk, where the factor is there already. */
export function walkColumns(
  matrix: WeightMatrix,
  factor: GptqFactor,
  { scheme, order, blockSize }: Required<GptqOptions> & { readonly scheme: WeightScheme },
): GptqResult {
  const { rows, cols } = matrix
  const regrouping = order === 'group' && scheme.strategy === 'group' ? factor.order : null
  const scales = observeScales(regrouping === null ? matrix : permuteColumns(matrix, regrouping), scheme)
  const width = groupWidth(scheme, cols)
  const columnScales = transposeScales(scales, rows, schemeGroups(scheme, cols))
  const placed = regrouping === null ? factor.order : null
  const walk = new Walk(matrix, factor, blockSize)
  const loss = walk.run(
    scheme,
    (visit) => columnScales[Math.floor((placed === null ? visit : placed[visit]!) / width)]!,
  )
  const parts = { codes: walk.codes, scales, order: regrouping && groupsOf(regrouping, width) }
  return { weight: packWeight(schemeFormat(scheme), [rows, cols], parts), loss, failedAt: factor.failedAt }
}

/** A weight on its way: transposed, columns in the order of visits, so that a column is one run of memory. */
class Walk {
  readonly codes: Uint8Array // [rows, cols]
  readonly #rows: number
  readonly #factor: GptqFactor
  readonly #blockSize: number
  readonly #columns: Float32Array // [cols, rows]: weights, then errors over the diagonal of the factor

  constructor({ values, rows, cols }: WeightMatrix, factor: GptqFactor, blockSize: number) {
    this.codes = new Uint8Array(rows * cols)
    this.#rows = rows
    this.#factor = factor
    this.#blockSize = blockSize
    this.#columns = new Float32Array(rows * cols)
    const dead = new Set(factor.dead)
    const place = placesOf(factor)
    for (let col = 0; col < cols; col++) {
      if (dead.has(col)) continue
      for (let row = 0, to = place[col]! * rows; row < rows; row++) this.#columns[to + row] = values[row * cols + col]!
    }
  }

  /** Returns the sum of squared errors over the factor's diagonal. */
  run(scheme: WeightScheme, scalesOf: (visit: number) => ColumnScales): number {
    const { cols, order, upper } = this.#factor
    const rows = this.#rows
    const rounder = createRounder(scheme)
    const columnCodes = new Uint8Array(rows)
    let loss = 0
    for (let first = 0; first < cols; first += this.#blockSize) {
      const end = Math.min(first + this.#blockSize, cols)
      this.#catchUp(first, end)
      for (let visit = first; visit < end; visit++) {
        const column = this.#columns.subarray(visit * rows, (visit + 1) * rows)
        rounder.roundColumn(column, scalesOf(visit), columnCodes)
        const pivot = upper[visit * (cols + 1)]!
        for (let row = 0, to = order === null ? visit : order[visit]!; row < rows; row++, to += cols) {
          this.codes[to] = columnCodes[row]!
          column[row] = column[row]! / pivot
          loss += column[row]! ** 2
        }
        this.#spread(column, visit, end)
      }
    }
    return loss
  }

  /** Takes the errors of all earlier blocks from the columns of a block. */
  #catchUp(first: number, end: number): void {
    if (first === 0) return
    const { cols, upper } = this.#factor
    const rows = this.#rows
    const count = end - first
    const factors = new Float32Array(count * first)
    for (let visit = 0; visit < first; visit++) {
      for (let i = 0; i < count; i++) factors[i * first + visit] = upper[visit * cols + first + i]!
    }
    const errors = this.#columns.subarray(0, first * rows)
    const product = tidy(() => matMul(tensor2d(factors, [count, first]), tensor2d(errors, [first, rows])))
    const taken = product.dataSync<'float32'>()
    product.dispose()
    const block = this.#columns.subarray(first * rows, end * rows)
    for (let i = 0; i < block.length; i++) block[i]! -= taken[i]!
  }

  /** Takes a column's error from the columns behind it in its block. */
  #spread(errors: Float32Array, visit: number, end: number): void {
    const { cols, upper } = this.#factor
    const rows = this.#rows
    const columns = this.#columns
    for (let behind = visit + 1; behind < end; behind++) {
      const share = upper[visit * cols + behind]!
      if (share === 0) continue
      const start = behind * rows
      for (let row = 0; row < rows; row++) columns[start + row]! -= share * errors[row]!
    }
  }
}

/** When each column is visited. */
function placesOf({ order, cols }: GptqFactor): Int32Array {
  const places = Int32Array.from({ length: cols }, (_, col) => col)
  order?.forEach((col, visit) => (places[col] = visit))
  return places
}

function permuteColumns({ values, rows, cols }: WeightMatrix, order: Int32Array): WeightMatrix {
  const permuted = new Float32Array(values.length)
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < cols; i++) permuted[row * cols + i] = values[row * cols + order[i]!]!
  }
  return { values: permuted, rows, cols }
}

/** The group of each column, where neighbours in the order of visits share one. */
function groupsOf(order: Int32Array, width: number): Int32Array {
  const groups = new Int32Array(order.length)
  order.forEach((col, visit) => (groups[col] = Math.floor(visit / width)))
  return groups
}

/** Scales and zeros of all rows, group by group. */
function transposeScales({ values, zeros }: Scales, rows: number, groups: number): ColumnScales[] {
  return Array.from({ length: groups }, (_, group) => ({
    scales: Float32Array.from({ length: rows }, (_, row) => values[row * groups + group]!),
    zeros: zeros && Uint8Array.from({ length: rows }, (_, row) => zeros[row * groups + group]!),
  }))
}
