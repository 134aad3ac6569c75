import { keep, tensor1d } from '@tensorflow/tfjs-core'
import type { Tensor1D } from '@tensorflow/tfjs-core'
import type { BackendPack } from '../backends/backend-pack.ts'
import { canConcatenate, loadMatrix, loadVector } from '../loading/load-weight.ts'
import type { MatrixSelection } from '../loading/matrix-parts.ts'
import { checkAllRead } from '../loading/unused-weights.ts'
import type { UnusedWeights } from '../loading/unused-weights.ts'
import { storedBytes, tryWeight } from '../loading/weight-source.ts'
import type { RowRange, WeightSource } from '../loading/weight-source.ts'
import { WeightView } from '../loading/weight-view.ts'
import type { WeightLayout } from '../loading/weight-view.ts'
import { weightFormats, type DType } from '../tensor/dtype.ts'
import type { FillWeight, PackedWeight, PackedWeightSpec, StoredRows } from '../tensor/packed-weight.ts'
import type { Communicator } from './communicator.ts'
import type { ExpertBalance } from './expert-balance.ts'
import { unquantizedMethods } from './linear-method.ts'
import type { LinearMethods, MethodLoader } from './linear-method.ts'

export interface WeightLoaderOptions {
  readonly source: WeightSource
  readonly pack: BackendPack
  readonly dtype: DType | 'auto'
  readonly communicator: Communicator
  /** Default: the ranks of `communicator` share every expert. */
  readonly expertCommunicator?: Communicator
  readonly expertBalance?: ExpertBalance
  /** Default: unquantized everywhere. */
  readonly linearMethods?: LinearMethods
  /** Default: names and matrices are the layers' own. */
  readonly layout?: WeightLayout
  readonly onProgress?: (loadedBytes: number, totalBytes: number) => void
}

interface Owned {
  dispose(): void
}

/**
 * Loads a model's weights and owns them: whatever it hands out lives until `dispose`, also when loading stops half-way.
 * Names are the layers' own, in full.
 */
export class WeightLoader implements MethodLoader {
  readonly communicator: Communicator
  readonly dtype: DType | 'auto'
  readonly expertCommunicator: Communicator | null
  readonly expertBalance: ExpertBalance | null
  readonly linearMethods: LinearMethods
  readonly source: WeightView
  readonly #options: WeightLoaderOptions
  readonly #owned: Owned[] = []
  readonly #totalBytes: number
  #sizeInBytes = 0
  #loadedBytes = 0

  constructor(options: WeightLoaderOptions) {
    this.#options = options
    this.communicator = options.communicator
    this.dtype = options.dtype
    this.expertCommunicator = options.expertCommunicator ?? null
    this.expertBalance = options.expertBalance ?? null
    this.linearMethods = options.linearMethods ?? unquantizedMethods
    this.source = new WeightView(options.source, options.layout)
    const { source } = this
    this.#totalBytes = source.names().reduce((sum, name) => sum + storedBytes(source, name), 0)
  }

  /** Bytes that the loaded weights take. */
  get sizeInBytes(): number {
    return this.#sizeInBytes
  }

  has(name: string): boolean {
    return this.source.raw(name) !== null
  }

  /** Whether these tensors can become one weight without being converted. */
  canStack(names: readonly string[]): boolean {
    return this.#options.dtype !== 'auto' || names.length === 1 || canConcatenate(this.source, names)
  }

  columnUnit(name: string): number {
    const info = this.#options.dtype === 'auto' ? tryWeight(this.source, name) : null
    return info === null ? 1 : weightFormats[info.format].blockElements
  }

  /** Throws CheckpointError where a tensor is missing or has another shape. */
  matrix(selection: MatrixSelection): PackedWeight {
    const { pack, dtype } = this.#options
    const weight = loadMatrix(this.source, pack, { ...selection, dtype })
    this.own(weight, weight.sizeInBytes)
    this.loaded(selection.names)
    return weight
  }

  /** A weight of what `fill` writes, such as the planes of a grouped format (`BackendPack.packWeight`). */
  pack(spec: PackedWeightSpec, fill: FillWeight, stored: readonly StoredRows[] | null = null): PackedWeight {
    const weight = this.#options.pack.packWeight(spec, fill, stored)
    this.own(weight, weight.sizeInBytes)
    return weight
  }

  /** The same rows and columns as float32 values `[rows * cols]`, owned by nobody: for methods that compute with them. */
  hostMatrix(selection: MatrixSelection): Float32Array {
    const values: Float32Array[] = []
    loadMatrix(this.source, hostPack(values), { ...selection, dtype: 'float32' })
    this.loaded(selection.names)
    return values[0]!
  }

  /** `[length]`, or the given ranges of it one after the other, as float32. */
  vector(name: string, length: number, ranges?: readonly RowRange[]): Tensor1D {
    return this.tensor(this.hostVector(name, length, ranges))
  }

  /** As `vector`, as values that nobody owns. */
  hostVector(name: string, length: number, ranges?: readonly RowRange[]): Float32Array {
    const values = loadVector(this.source, name, length)
    this.loaded([name])
    return select(values, ranges)
  }

  /** A tensor that outlives any `tidy`. */
  tensor(values: Float32Array): Tensor1D {
    const tensor = keep(tensor1d(values, 'float32'))
    this.own(tensor, values.byteLength)
    return tensor
  }

  /** Takes over something else that must be freed with the weights. */
  own(owned: Owned, sizeInBytes = 0): void {
    this.#owned.push(owned)
    this.#sizeInBytes += sizeInBytes
  }

  /** Throws CheckpointError where weights were left unread that are neither known to be unused nor among `unused`. */
  finish(unused: readonly UnusedWeights[] = []): void {
    checkAllRead(this.#options.source, this.source, unused)
    this.#options.onProgress?.(this.#totalBytes, this.#totalBytes)
  }

  dispose(): void {
    for (const owned of this.#owned.splice(0)) owned.dispose()
    this.#sizeInBytes = 0
  }

  loaded(names: readonly string[]): void {
    for (const name of names) this.#loadedBytes += storedBytes(this.source, name)
    this.#options.onProgress?.(Math.min(Math.floor(this.#loadedBytes), this.#totalBytes), this.#totalBytes)
  }
}

/** Keeps what is packed as values. */
function hostPack(values: Float32Array[]): Pick<BackendPack, 'packWeight'> {
  return {
    packWeight(spec, fill) {
      const matrix = new Float32Array(spec.rows * spec.cols)
      fill(new Uint8Array(matrix.buffer))
      values.push(matrix)
      return {
        ...spec,
        sizeInBytes: matrix.byteLength,
        dispose: () => {},
        readRow: (row, out) => out.set(matrix.subarray(row * spec.cols, (row + 1) * spec.cols)),
      }
    },
  }
}

function select(values: Float32Array, ranges: readonly RowRange[] | undefined): Float32Array {
  if (ranges === undefined) return values
  const selected = new Float32Array(ranges.reduce((sum, { start, end }) => sum + end - start, 0))
  let to = 0
  for (const { start, end } of ranges) {
    selected.set(values.subarray(start, end), to)
    to += end - start
  }
  return selected
}
