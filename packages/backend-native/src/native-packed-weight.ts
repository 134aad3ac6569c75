import { assert, CheckpointError, codeValues, isDense, isGrouped, planesOf, weightBytes } from '@octavo/core/backend'
import type {
  FillWeight,
  GroupedSpec,
  PackedFormat,
  PackedWeight,
  PackedWeightSpec,
  PlaneLayout,
  PlaneName,
  StoredRows,
  WeightFormat,
} from '@octavo/core/backend'
import type {
  ActivationFormat,
  GroupedArguments,
  GroupedPlaneArguments,
  Isa,
  NativeMatrix,
  NativePool,
} from './native-addon.ts'
import type { PackingTime } from './packing-time.ts'

/**
 * `auto`: int8 from this row length on, wide where there is a tile unit, which would have to stop at every block of 32.
 * Shorter rows are exact: rounding a row's activations costs about as much as the
 * product that it would speed up, and the fewer terms a sum has, the less their rounding errors cancel.
 */
export type ActivationChoice = ActivationFormat | 'auto'

export const activationChoices: readonly ActivationChoice[] = ['auto', 'int8', 'int8-wide', 'float32']

const minInt8Cols = 512

export interface PackingOptions {
  /** Of the moment: it may become another one. */
  readonly pool: NativePool
  readonly activations: ActivationChoice
  readonly isa: Isa
  /** Default: at load. */
  readonly packing?: PackingTime
  readonly onDispose: (sizeInBytes: number) => void
}

/** Where a weight's bytes come from; both give the same. */
interface WeightBytes {
  readonly fill: FillWeight
  readonly stored: readonly StoredRows[] | null
}

/** A weight matrix in the addon's memory, laid out for the kernels. */
export class NativePackedWeight implements PackedWeight {
  readonly format: PackedFormat
  readonly rows: number
  readonly cols: number
  /** As stored; the kernels' layout may add a little padding. */
  readonly sizeInBytes: number
  readonly #options: PackingOptions
  #matrix: NativeMatrix | null
  /** Where it lies as long as it is not known to be packed. */
  #file: string | null = null

  constructor(spec: PackedWeightSpec, { fill, stored }: WeightBytes, options: PackingOptions) {
    const { format, rows, cols } = spec
    this.#options = options
    this.format = format
    this.rows = rows
    this.cols = cols
    this.sizeInBytes = weightBytes(spec)
    const activations = activationFormat(options, { format, cols })
    const maker = isGrouped(format)
      ? groupedMaker(options.pool, { format, rows, cols }, activations)
      : rowsMaker(options.pool, { format, rows, cols }, activations)
    // Where the rows are not in their file, which may have become shorter, filling either works or says what is wrong.
    this.#matrix = this.#readMatrix(maker, stored ?? []) ?? this.#fillMatrix(maker, fill)
  }

  /**
   * For kernels: packed.
   * @throws CheckpointError where the weight is needed for the first time and its file has changed since it was loaded.
   */
  get matrix(): NativeMatrix {
    const matrix = this.#live()
    if (this.#file !== null) {
      if (!this.#options.pool.packMatrix(matrix)) throw hasChanged(this.#file)
      this.#file = null
    }
    return matrix
  }

  /** out `[ids.length, cols]` = the rows as float32; it need not be packed for that. Throws as `matrix` does. */
  readRows(ids: Int32Array, out: Float32Array): void {
    if (!this.#options.pool.embedding(this.#live(), out, ids)) throw hasChanged(this.#file ?? '')
  }

  readRow(row: number, out: Float32Array): void {
    assert(row >= 0 && row < this.rows, `weight row ${row} is outside [0, ${this.rows})`)
    this.matrix.readRow(row, out.length === this.cols ? out : out.subarray(0, this.cols))
  }

  #live(): NativeMatrix {
    assert(this.#matrix !== null, 'a packed weight was used after dispose')
    return this.#matrix
  }

  #readMatrix(maker: MatrixMaker, stored: readonly StoredRows[]): NativeMatrix | null {
    const [first] = stored
    if (first === undefined || this.rows === 0) return null
    if (this.#options.packing !== 'deferred') return maker.read(stored)
    const matrix = maker.defer(stored)
    if (matrix !== null) this.#file = first.file
    return matrix
  }

  #fillMatrix(maker: MatrixMaker, fill: FillWeight): NativeMatrix {
    const stored = new Uint8Array(this.sizeInBytes)
    fill(stored)
    const matrix = maker.create(stored)
    // Frees the copy now instead of at some later garbage collection: a large model would be held twice till then.
    stored.buffer.transfer(0)
    return matrix
  }

  dispose(): void {
    if (this.#matrix === null) return
    this.#matrix.dispose()
    this.#matrix = null
    this.#options.onDispose(this.sizeInBytes)
  }
}

/** Of bytes in memory, or of rows in files: null where these can't be had. */
interface MatrixMaker {
  create(bytes: Uint8Array): NativeMatrix
  read(stored: readonly StoredRows[]): NativeMatrix | null
  defer(stored: readonly StoredRows[]): NativeMatrix | null
}

function rowsMaker(
  pool: NativePool,
  { format, rows, cols }: PackedWeightSpec & { readonly format: WeightFormat },
  activations: ActivationFormat,
): MatrixMaker {
  return {
    create: (bytes) => pool.createMatrix(format, rows, cols, bytes, activations),
    read: (stored) => pool.readMatrix(format, rows, cols, toRuns(stored), activations),
    defer: (stored) => pool.deferMatrix(format, rows, cols, toRuns(stored), activations),
  }
}

function groupedMaker(pool: NativePool, spec: GroupedSpec, activations: ActivationFormat): MatrixMaker {
  const { format, rows, cols } = spec
  const { bits, groupSize, scaleDtype } = format
  const { codes, order, scales, zeros } = planesOf(spec)
  const args = (groupOf: Int32Array | null): GroupedArguments => [
    rows,
    cols,
    bits,
    groupSize === 'channel' ? cols : groupSize,
    scaleDtype,
    codeValues(format),
    groupOf,
    activations,
  ]
  /** Null where a plane is not among them, or an order is: that is needed at once, so all is read through `fill`. */
  const fileArgs = (
    stored: readonly StoredRows[],
  ): readonly [...GroupedArguments, ...GroupedPlaneArguments<Float64Array>] | null => {
    const names: readonly PlaneName[] = zeros === null ? ['codes', 'scales'] : ['codes', 'scales', 'zeros']
    const [codeRuns, scaleRuns, zeroRuns = null] = names.map((name) =>
      toRuns(stored.filter(({ plane }) => plane === name)),
    )
    if (order !== null || !codeRuns?.length || !scaleRuns?.length || zeroRuns?.length === 0) return null
    return [...args(null), codeRuns, scaleRuns, zeroRuns]
  }
  return {
    create(bytes) {
      const plane = ({ offset, sizeInBytes }: PlaneLayout): Uint8Array => bytes.subarray(offset, offset + sizeInBytes)
      const groupOf = order && new Int32Array(plane(order).slice().buffer)
      return pool.createGroupedMatrix(...args(groupOf), plane(codes), plane(scales), zeros && plane(zeros))
    },
    read(stored) {
      const found = fileArgs(stored)
      return found && pool.readGroupedMatrix(...found)
    },
    defer(stored) {
      const found = fileArgs(stored)
      return found && pool.deferGroupedMatrix(...found)
    },
  }
}

function hasChanged(file: string): CheckpointError {
  return new CheckpointError(
    file,
    'has changed since the model was loaded, and some of its weights were to be read only now; load the model again (replace checkpoints by renaming, never in place, or load with OCTAVO_PACKING=at-load)',
  )
}

function toRuns(stored: readonly StoredRows[]): Float64Array {
  return Float64Array.from(stored.flatMap(({ fd, position, stride, count }) => [fd, position, stride, count]))
}

function activationFormat(
  { activations, isa }: PackingOptions,
  { format, cols }: { format: PackedFormat; cols: number },
): ActivationFormat {
  if (!isGrouped(format) && isDense(format)) return 'float32'
  if (activations !== 'auto') return activations
  if (cols < minInt8Cols) return 'float32'
  return isa === 'amx' ? 'int8-wide' : 'int8'
}
