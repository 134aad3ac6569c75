import { CheckpointError, OctavoError } from '../errors.ts'
import type { StoredRows } from '../tensor/packed-weight.ts'
import type { RawTensor } from './raw-tensor.ts'
import { readWidened } from './stored-weights.ts'
import { requireWeight, weightRows } from './weight-source.ts'
import type { RowRange, WeightInfo, WeightSource } from './weight-source.ts'

/** How a checkpoint's names and matrices become those that the layers know. */
export interface WeightLayout {
  /** A stored name → the layers' own; `null` for a tensor that this part of the model does not have. */
  rename(stored: string): string | null
  /** Whether Hugging Face's files store this matrix `[in, out]`. */
  isInOut(name: string): boolean
}

const asStored: WeightLayout = { rename: (name) => name, isInOut: () => false }

/** Where a tensor lies in the source. */
export interface WeightPlace {
  readonly stored: string
  /** Of a stack: this matrix or vector of it. */
  readonly index: number | null
}

/** Stacks `[numExperts, …]` of projections, as newer files have them: `experts.gate_up_proj`, `experts.gate_up_proj_bias`. */
const expertStack = /^(.*\.experts)\.((?:gate_up|gate|up|down)_proj)(?:_([a-z_]+))?$/
const maxExperts = 65_536

/**
 * A source under the names that the layers ask for: prefixes as transformers' classes have them, each expert of a stack
 * as a module of its own (`experts.3.gate_up_proj.weight`), and every matrix marked with its orientation. It keeps which
 * tensors were read, so that none is left out by mistake.
 */
export class WeightView implements WeightSource {
  readonly file: string
  readonly #source: WeightSource
  readonly #layout: WeightLayout
  readonly #places = new Map<string, WeightPlace>()
  /** Of modules that go by another name. */
  readonly #modules = new Map<string, string>()
  /** Stored names. */
  readonly #read = new Set<string>()

  constructor(source: WeightSource, layout: WeightLayout = asStored) {
    this.file = source.file
    this.#source = source
    this.#layout = layout
    for (const stored of source.names()) {
      const name = layout.rename(stored)
      if (name === null) continue
      const stack = expertStack.exec(name)
      const numMatrices = stack === null ? null : stackSize(source, stored)
      if (stack === null || numMatrices === null) this.#add(name, { stored, index: null })
      else {
        const [, experts = '', projection = '', plane = 'weight'] = stack
        for (let index = 0; index < numMatrices; index++)
          this.#add(`${experts}.${index}.${projection}.${plane}`, { stored, index })
      }
    }
  }

  names(): readonly string[] {
    return [...this.#places.keys()]
  }

  get(name: string): WeightInfo | null {
    const place = this.#places.get(name)
    const stored = place === undefined ? null : this.#source.get(place.stored)
    if (place === undefined || stored === null) return null
    const { index } = place
    const info =
      index === null
        ? { ...stored, name }
        : {
            ...stored,
            name,
            shape: stored.shape.slice(1),
            sizeInBytes: stored.sizeInBytes / (stored.shape[0] ?? 1),
          }
    const isInOut = stored.orientation === undefined && info.shape.length === 2 && this.#layout.isInOut(name)
    return isInOut ? { ...info, orientation: 'in-out' } : info
  }

  /** Where a tensor of this view lies: the stored name and, of a stack, which of its matrices it is. */
  placeOf(name: string): WeightPlace | null {
    return this.#places.get(name) ?? null
  }

  read(name: string, bytes: Uint8Array, rows?: RowRange): void {
    const { stored, range } = this.#use(name, rows)
    this.#source.read(stored, bytes, range)
  }

  locate(name: string, rows?: RowRange): readonly StoredRows[] | null {
    const { stored, range } = this.#use(name, rows)
    return this.#source.locate(stored, range)
  }

  readFloat32(name: string, rows?: RowRange): Float32Array {
    return readWidened(this, requireWeight(this, name), rows)
  }

  /** Of a stack, one matrix. */
  raw(name: string): RawTensor | null {
    const place = this.#places.get(name)
    const tensor = place === undefined ? null : this.#source.raw(place.stored)
    if (place === undefined || tensor === null) return null
    const { stored, index } = place
    const sizeInBytes = index === null ? tensor.sizeInBytes : tensor.sizeInBytes / (tensor.shape[0] ?? 1)
    return {
      ...tensor,
      name,
      shape: index === null ? tensor.shape : tensor.shape.slice(1),
      sizeInBytes,
      read: (bytes, start = 0) => {
        this.#read.add(stored)
        tensor.read(bytes, (index ?? 0) * sizeInBytes + start)
      },
      locate: () => {
        this.#read.add(stored)
        const place = tensor.locate()
        return place && { ...place, position: place.position + (index ?? 0) * sizeInBytes }
      },
    }
  }

  close(): void {
    this.#source.close()
  }

  /** Takes tensors `<prefix>.…` as read: what another rank holds, or a method computes without. */
  skip(...prefixes: readonly string[]): void {
    const skipped = new Set(prefixes)
    for (const [name, { stored }] of this.#places) {
      for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1))
        if (skipped.has(name.slice(0, dot))) this.#read.add(stored)
    }
  }

  /** Takes one tensor as read: what a method computes without. */
  discard(name: string): void {
    const place = this.#places.get(name)
    if (place !== undefined) this.#read.add(place.stored)
  }

  /** As `discard`, of a tensor of zeros; any other must be read by somebody. */
  discardZeros(name: string): void {
    const place = this.#places.get(name)
    const tensor = place === undefined ? null : this.#source.raw(place.stored)
    if (tensor === null) return
    const bytes = new Uint8Array(tensor.sizeInBytes)
    tensor.read(bytes)
    if (bytes.every((byte) => byte === 0)) this.discard(name)
  }

  /** A module's name as the checkpoint has it, where its tensors are no part of a stack; else its own. */
  storedModule(module: string): string {
    return this.#modules.get(module) ?? module
  }

  /** Stored names of the tensors of this view that nobody has read, nor any part of them. */
  unread(): readonly string[] {
    const all = new Set([...this.#places.values()].map(({ stored }) => stored))
    return [...all].filter((stored) => !this.#read.has(stored))
  }

  #add(name: string, place: WeightPlace): void {
    const other = this.#places.get(name)
    if (other !== undefined) {
      throw new CheckpointError(this.file, `"${other.stored}" and "${place.stored}" both mean it`, { tensor: name })
    }
    this.#places.set(name, place)
    const module = name.slice(0, name.lastIndexOf('.'))
    const stored = place.stored.slice(0, place.stored.lastIndexOf('.'))
    if (place.index === null && stored !== module) this.#modules.set(module, stored)
  }

  #use(name: string, rows: RowRange | undefined): { stored: string; range: RowRange } {
    const info = requireWeight(this, name)
    const place = this.#places.get(name)!
    this.#read.add(place.stored)
    const numRows = weightRows(info)
    const { start, end } = rows ?? { start: 0, end: numRows }
    const first = (place.index ?? 0) * numRows
    return { stored: place.stored, range: { start: first + start, end: first + end } }
  }
}

/** Of a tensor of any dtype; `null` for what is no stack: its layer's own shape check names what is wrong. */
function stackSize(source: WeightSource, stored: string): number | null {
  const shape = tryShape(source, stored)
  const size = shape?.[0] ?? 0
  return shape === null || shape.length < 2 || size > maxExperts ? null : size
}

function tryShape(source: WeightSource, stored: string): readonly number[] | null {
  try {
    return source.raw(stored)?.shape ?? null
  } catch (error) {
    if (OctavoError.isInstance(error)) return null
    throw error
  }
}
