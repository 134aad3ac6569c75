import { requireWeight, weightCols, weightRows } from '@octavo/core/loading'
import type { RawTensor, RowRange, StoredRows, WeightInfo, WeightSource } from '@octavo/core/loading'
import { QuantizationError } from '@octavo/core/quantization'
import { roundToStored } from './round-to-stored.ts'

/** The tensors of one layer, some vectors of which passes have changed. Matrices are not read here: modules have them. */
export class OverlayWeights implements WeightSource {
  readonly file: string
  readonly #source: WeightSource
  readonly #prefix: string
  readonly #changed = new Map<string, Float32Array>()
  readonly #vectors = new Set<string>()

  /** `prefix` ends with a dot. */
  constructor(source: WeightSource, prefix: string) {
    this.file = source.file
    this.#source = source
    this.#prefix = prefix
  }

  get changes(): ReadonlyMap<string, Float32Array> {
    return this.#changed
  }

  /** Those that the layer has read. */
  get vectorNames(): Iterable<string> {
    return this.#vectors
  }

  /** Of the vectors that the layer has read, the one of this name: a copy. */
  vector(name: string): Float32Array | null {
    if (!this.#vectors.has(name)) return null
    return this.#changed.get(name)?.slice() ?? this.#source.readFloat32(name)
  }

  setVector(name: string, values: Float32Array): void {
    const length = this.#vectors.has(name) ? weightCols(requireWeight(this.#source, name)) : null
    if (length !== values.length)
      throw new QuantizationError(
        length === null
          ? `the layer has no vector of this name; it has ${[...this.#vectors].join(', ')}`
          : `a pass sets ${values.length} values; the vector has ${length}`,
        { module: name },
      )
    this.#changed.set(name, values)
  }

  toStored(name: string, values: Float32Array): Float32Array {
    return roundToStored(values, { tensor: name, view: this.#source })
  }

  /** As `CheckpointModule.round`, of the vectors. */
  round(): void {
    for (const [tensor, values] of this.#changed)
      this.#changed.set(tensor, roundToStored(values, { tensor, view: this.#source }))
  }

  names(): readonly string[] {
    return this.#source.names().filter((name) => name.startsWith(this.#prefix))
  }

  get(name: string): WeightInfo | null {
    const info = this.#source.get(name)
    const changed = this.#changed.get(name)
    if (info === null || changed === undefined) return info
    return { ...info, format: 'float32', sizeInBytes: changed.byteLength }
  }

  read(name: string, bytes: Uint8Array, rows?: RowRange): void {
    if (requireWeight(this.#source, name).shape.length === 1) this.#vectors.add(name)
    const changed = this.#changed.get(name)
    if (changed === undefined) this.#source.read(name, bytes, rows)
    else bytes.set(new Uint8Array(changed.buffer, changed.byteOffset, changed.byteLength))
  }

  locate(name: string, rows?: RowRange): readonly StoredRows[] | null {
    return this.#changed.has(name) ? null : this.#source.locate(name, rows)
  }

  readFloat32(name: string, rows?: RowRange): Float32Array {
    const info = requireWeight(this, name)
    const changed = this.#changed.get(name)
    if (changed === undefined) return this.#source.readFloat32(name, rows)
    const { start, end } = rows ?? { start: 0, end: weightRows(info) }
    return changed.slice(start * weightCols(info), end * weightCols(info))
  }

  raw(name: string): RawTensor | null {
    return this.#source.raw(name)
  }

  /** The source is others' too. */
  close(): void {}
}
