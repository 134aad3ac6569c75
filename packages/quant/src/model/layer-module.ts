import type { BackendPack, PackedWeight } from '@octavo/core/backend'
import { loadMatrix } from '@octavo/core/loading'
import type { RowRange, WeightView } from '@octavo/core/loading'
import type { LinearRole } from '@octavo/core/model'
import { createGroupedReader, QuantizationError } from '@octavo/core/quantization'
import type { GroupedWeight } from '@octavo/core/quantization'
import type { LayerModule } from '../decoder-layer.ts'
import type { ActivationScheme } from '../weight-scheme.ts'
import { roundToStored } from './round-to-stored.ts'

/** What passes have made of a module; all `null`: nothing. */
export interface ModuleChange {
  /** `[rows, cols]`. */
  readonly values: Float32Array | null
  readonly quantized: GroupedWeight | null
  readonly inputActivations: ActivationScheme | null
}

export interface CheckpointModuleOptions {
  readonly name: string
  readonly role: LinearRole
  readonly rows: number
  readonly cols: number
  readonly view: WeightView
  readonly pack: Pick<BackendPack, 'packWeight'>
  /** In which the layer wants its rows, where not in the checkpoint's. */
  readonly order: readonly RowRange[] | null
}

/** A module over the checkpoint's tensor; it keeps in memory what has changed and what runs. */
export class CheckpointModule implements LayerModule {
  readonly name: string
  readonly role: LinearRole
  readonly rows: number
  readonly cols: number
  readonly #options: CheckpointModuleOptions
  #values: Float32Array | null = null
  #quantized: GroupedWeight | null = null
  #packed: PackedWeight | null = null
  #inputActivations: ActivationScheme | null = null

  constructor(options: CheckpointModuleOptions) {
    this.name = options.name
    this.role = options.role
    this.rows = options.rows
    this.cols = options.cols
    this.#options = options
  }

  get quantized(): GroupedWeight | null {
    return this.#quantized
  }

  get change(): ModuleChange {
    return { values: this.#values, quantized: this.#quantized, inputActivations: this.#inputActivations }
  }

  weight(): Float32Array {
    if (this.#quantized !== null) return dequantize(this.#quantized)
    return this.#values?.slice() ?? readModule(this.#options)
  }

  setWeight(values: Float32Array): void {
    if (values.length !== this.rows * this.cols)
      throw new QuantizationError(
        `a pass sets ${values.length} values; the weight has ${this.rows} rows of ${this.cols}`,
        { module: this.name },
      )
    this.#change(values, null)
  }

  setQuantized(quantized: GroupedWeight): void {
    if (quantized.rows !== this.rows || quantized.cols !== this.cols)
      throw new QuantizationError(
        `a pass sets a weight of ${quantized.rows} rows of ${quantized.cols}; it has ${this.rows} rows of ${this.cols}`,
        { module: this.name },
      )
    this.#change(null, quantized)
  }

  setInputActivations(scheme: ActivationScheme | null): void {
    this.#inputActivations = scheme
  }

  /** The weight for kernels: as stored while nothing has changed it, else as float32, which is exactly what is saved. */
  packed(): PackedWeight {
    this.#packed ??= this.#values === null && this.#quantized === null ? this.#packStored() : this.#packValues()
    return this.#packed
  }

  #packStored(): PackedWeight {
    const { name, rows, cols } = this
    const { view, pack, order } = this.#options
    return loadMatrix(view, pack, {
      names: [`${name}.weight`],
      expectedShape: [rows, cols],
      dtype: 'auto',
      ...(order && { rows: order }),
    })
  }

  #packValues(): PackedWeight {
    const { rows, cols } = this
    const { pack, order } = this.#options
    const values = this.#values ?? this.weight()
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    return pack.packWeight({ format: 'float32', rows, cols }, (target) => {
      if (order === null) return target.set(bytes)
      let to = 0
      for (const { start, end } of order) {
        target.set(bytes.subarray(start * cols * 4, end * cols * 4), to)
        to += (end - start) * cols * 4
      }
    })
  }

  /** Rounds what a pass set to what the checkpoint's dtype can hold: from now on the layer computes with what is saved. */
  round(): void {
    if (this.#values === null) return
    const tensor = `${this.name}.weight`
    this.#change(roundToStored(this.#values, { tensor, view: this.#options.view }), null)
  }

  /** Frees what runs; changes stay. */
  release(): void {
    this.#packed?.dispose()
    this.#packed = null
  }

  #change(values: Float32Array | null, quantized: GroupedWeight | null): void {
    this.#values = values
    this.#quantized = quantized
    this.release()
  }
}

export function isChanged({ values, quantized, inputActivations }: ModuleChange): boolean {
  return values !== null || quantized !== null || inputActivations !== null
}

export function restoreModule(module: CheckpointModule, change: ModuleChange | undefined): void {
  if (change === undefined) return
  if (change.values !== null) module.setWeight(change.values)
  if (change.quantized !== null) module.setQuantized(change.quantized)
  module.setInputActivations(change.inputActivations)
}

/** `[rows, cols]` as the checkpoint has it, whichever way it lies there. */
function readModule({ name, rows, cols, view }: CheckpointModuleOptions): Float32Array {
  const values = new Float32Array(rows * cols)
  const reader: Pick<BackendPack, 'packWeight'> = {
    packWeight(spec, fill) {
      fill(new Uint8Array(values.buffer))
      return { ...spec, sizeInBytes: 0, dispose: () => {}, readRow: () => {} }
    },
  }
  loadMatrix(view, reader, { names: [`${name}.weight`], expectedShape: [rows, cols], dtype: 'float32' })
  return values
}

export function dequantize(weight: GroupedWeight): Float32Array {
  const { rows, cols, planes } = weight
  const values = new Float32Array(rows * cols)
  const read = createGroupedReader(weight, planes)
  for (let row = 0; row < rows; row++) read(row, values.subarray(row * cols, (row + 1) * cols))
  return values
}
