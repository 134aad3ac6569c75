import {
  assert,
  CheckpointError,
  describeFormat,
  isDense,
  isGrouped,
  rowBytes,
  UnsupportedModelError,
} from '@octavo/core/backend'
import type { FillWeight, PackedWeight, PackedWeightSpec, StoredRows, WeightFormat } from '@octavo/core/backend'
import type { Isa, NativeMatrix, NativePool } from './native-addon.ts'
import type { PackingTime } from './packing-time.ts'

/**
 * How quantized weights meet activations: as int8 per row and block of 32, as int8 per row and 256 columns (weights then as
 * 16-bit fixed-point numbers of their row: native/kernels/linear_wide.h), or the weights widened to float32.
 */
export type ActivationFormat = 'int8' | 'int8-wide' | 'float32'

/** In the order of `Format` in native/matrix.h. */
const formatCodes: Readonly<Record<WeightFormat, number>> = {
  float32: 0,
  float16: 1,
  bfloat16: 2,
  q8_0: 3,
  q4_0: 4,
  q4_1: 5,
  q5_0: 6,
  q5_1: 7,
  q4_k: 8,
  q5_k: 9,
  q6_k: 10,
}

/**
 * `auto`: int8 from this row length on, wide where there is a tile unit, which would have to stop at every block of 32.
 * Shorter rows are exact: rounding a row's activations costs about as much as the
 * product that it would speed up, and the fewer terms a sum has, the less their rounding errors cancel.
 */
export type ActivationChoice = ActivationFormat | 'auto'

export const activationChoices: readonly ActivationChoice[] = ['auto', 'int8', 'int8-wide', 'float32']

const minInt8Cols = 512

/** In the order of `Activations` in native/matrix.h. */
const activationCodes: Readonly<Record<ActivationFormat, number>> = { float32: 0, int8: 1, 'int8-wide': 2 }

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
  readonly format: WeightFormat
  readonly rows: number
  readonly cols: number
  /** As stored; the kernels' layout may add a little padding. */
  readonly sizeInBytes: number
  readonly #options: PackingOptions
  #matrix: NativeMatrix | null
  /** Where it lies as long as it is not known to be packed. */
  #file: string | null = null

  constructor({ format, rows, cols }: PackedWeightSpec, bytes: WeightBytes, options: PackingOptions) {
    if (isGrouped(format))
      throw new UnsupportedModelError(
        `The native backend has no weights as ${describeFormat(format)}; choose the wasm backend.`,
      )
    this.#options = options
    this.format = format
    this.rows = rows
    this.cols = cols
    const stride = rowBytes(format, cols)
    assert(Number.isInteger(stride), `a ${format} row of ${cols} elements is not whole blocks`)
    this.sizeInBytes = rows * stride
    const activationCode = activationCodes[activationFormat(options, { format, cols })]
    // Where a file can't be mapped, or has become shorter, reading it either works or says what is wrong.
    this.#matrix = this.#mapMatrix(bytes.stored ?? [], activationCode) ?? this.#readMatrix(bytes.fill, activationCode)
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

  #mapMatrix(stored: readonly StoredRows[], activationCode: number): NativeMatrix | null {
    const [first] = stored
    if (first === undefined || this.rows === 0) return null
    const { pool, packing } = this.#options
    const args = [formatCodes[this.format], this.rows, this.cols, toRuns(stored), activationCode] as const
    if (packing !== 'deferred') return pool.mapMatrix(...args)
    const matrix = pool.deferMatrix(...args)
    if (matrix !== null) this.#file = first.file
    return matrix
  }

  #readMatrix(fill: FillWeight, activationCode: number): NativeMatrix {
    const stored = new Uint8Array(this.sizeInBytes)
    fill(stored)
    const { pool } = this.#options
    const matrix = pool.createMatrix(formatCodes[this.format], this.rows, this.cols, stored, activationCode)
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
  { format, cols }: { format: WeightFormat; cols: number },
): ActivationFormat {
  if (isDense(format)) return 'float32'
  if (activations !== 'auto') return activations
  if (cols < minInt8Cols) return 'float32'
  return isa === 'amx' ? 'int8-wide' : 'int8'
}
