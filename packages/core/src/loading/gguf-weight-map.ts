import { CheckpointError } from '../errors.ts'
import { encodeRow } from '../tensor/dequantize.ts'
import { isDense, rowBytes } from '../tensor/dtype.ts'
import type { StoredRows } from '../tensor/packed-weight.ts'
import { assert } from '../util/assert.ts'
import { GgufFields, type GgufArchitecture } from './gguf-architecture.ts'
import type { GgufMetadata, GgufTensor } from './gguf-header.ts'
import type { RawTensor } from './raw-tensor.ts'
import { readWidened } from './stored-weights.ts'
import { weightCols, weightRows, type RowRange, type WeightInfo, type WeightSource } from './weight-source.ts'

/** Stacks of experts count one by one. */
const maxViews = 1_000_000

/** A Hugging Face tensor as a view of a stored one. */
interface WeightView {
  readonly stored: string
  readonly shape: readonly number[]
  /** First row inside the stored tensor: an expert's matrix in a stack. */
  readonly rowStart: number
  /** Undo interleaved rotary order in every group of so many rows (elements of a vector); `null` = as stored. */
  readonly headDim: number | null
  /** Subtract 1 and present as float32. */
  readonly isShifted: boolean
  /** Hugging Face has it the other way round. */
  readonly isOutIn: boolean
}

/** GGUF's tensors under Hugging Face's names and with its conventions. What has no HF name keeps its own. */
export class GgufWeights implements WeightSource {
  readonly file: string
  readonly #stored: WeightSource
  readonly #views: ReadonlyMap<string, WeightView>

  constructor(stored: WeightSource, views: ReadonlyMap<string, WeightView>) {
    this.file = stored.file
    this.#stored = stored
    this.#views = views
  }

  names(): readonly string[] {
    return [...this.#views.keys()]
  }

  get(name: string): WeightInfo | null {
    const view = this.#views.get(name)
    const stored = view === undefined ? null : this.#stored.get(view.stored)
    if (view === undefined || stored === null) return null
    const format = view.isShifted ? 'float32' : stored.format
    const { shape } = view
    const numRows = shape.slice(0, -1).reduce((product, size) => product * size, 1)
    const sizeInBytes = numRows * rowBytes(format, shape.at(-1) ?? 1)
    return {
      name,
      file: stored.file,
      shape,
      format,
      sizeInBytes,
      ...(view.isOutIn && { orientation: 'out-in' }),
    }
  }

  read(name: string, bytes: Uint8Array, rows?: RowRange): void {
    const { info, view, range } = this.#resolve(name, rows)
    if (view.isShifted) this.#readShifted(view, bytes, range)
    else if (view.headDim === null) this.#stored.read(view.stored, bytes, range)
    else if (info.shape.length === 1) this.#readVectorInHalves(view, bytes, view.headDim)
    else this.#readRowsInHalves(view, bytes, range)
  }

  /** Rows in interleaved rotary order are two runs per head, of every other row each. */
  locate(name: string, rows?: RowRange): readonly StoredRows[] | null {
    const { info, view, range } = this.#resolve(name, rows)
    const { headDim } = view
    if (view.isShifted || (headDim !== null && info.shape.length === 1)) return null
    if (headDim === null) return this.#stored.locate(view.stored, range)
    const runs: StoredRows[] = []
    for (let first = range.start; first < range.end;) {
      const inHead = first % headDim
      const isUpper = inHead >= headDim / 2
      const halfEnd = first - inHead + (isUpper ? headDim : headDim / 2)
      const count = Math.min(halfEnd, range.end) - first
      const from = first - inHead + interleavedIndex(inHead, headDim)
      const located = this.#stored.locate(view.stored, { start: from, end: from + 2 * count - 1 })
      const run = located?.[0]
      if (run === undefined || located?.length !== 1) return null
      runs.push({ ...run, stride: 2 * run.stride, count })
      first += count
    }
    return runs
  }

  readFloat32(name: string, rows?: RowRange): Float32Array {
    const info = this.get(name)
    if (info === null) throw new CheckpointError(this.file, 'missing', { tensor: name })
    return readWidened(this, info, rows)
  }

  /** Whole tensors, and an expert's part of a stack; its bytes are in GGUF's own order of rows. */
  raw(name: string): RawTensor | null {
    const view = this.#views.get(name)
    const stored = view === undefined ? null : this.#stored.raw(view.stored)
    if (view === undefined || stored === null) return null
    const share = sizeOf(view.shape) / sizeOf(stored.shape)
    const first = (view.rowStart / sizeOf(stored.shape.slice(0, -1))) * stored.sizeInBytes
    const { headDim } = view
    return {
      ...stored,
      ...(headDim !== null && {
        storedRow: (row: number) => row - (row % headDim) + interleavedIndex(row % headDim, headDim),
      }),
      name,
      shape: view.shape,
      sizeInBytes: share * stored.sizeInBytes,
      read: (bytes, start = 0) => stored.read(bytes, first + start),
      locate: () => {
        const place = stored.locate()
        return place && { ...place, position: place.position + first }
      },
    }
  }

  close(): void {
    this.#stored.close()
  }

  /** `range` counts rows of the stored tensor. */
  #resolve(name: string, rows?: RowRange): { info: WeightInfo; view: WeightView; range: RowRange } {
    const info = this.get(name)
    const view = this.#views.get(name)
    if (info === null || view === undefined) throw new CheckpointError(this.file, 'missing', { tensor: name })
    const { start, end } = rows ?? { start: 0, end: weightRows(info) }
    assert(
      start >= 0 && start <= end && end <= weightRows(info),
      `rows ${start}..${end} of ${name} with ${weightRows(info)}`,
    )
    return { info, view, range: { start: start + view.rowStart, end: end + view.rowStart } }
  }

  #readShifted(view: WeightView, bytes: Uint8Array, range: RowRange): void {
    const values = this.#stored.readFloat32(view.stored, range)
    for (let i = 0; i < values.length; i++) values[i] = values[i]! - 1
    assert(bytes.length === values.byteLength, `${bytes.length} bytes for ${values.length} floats of ${view.stored}`)
    encodeRow('float32', values, bytes, 0)
  }

  /** Reads every touched head whole and picks its rows; blocks run along rows, so any format can be reordered. */
  #readRowsInHalves(view: WeightView, bytes: Uint8Array, { start, end }: RowRange): void {
    const stored = this.#stored.get(view.stored)
    const { headDim } = view
    assert(stored !== null && headDim !== null, `${view.stored} has heads`)
    const stride = rowBytes(stored.format, weightCols(stored))
    assert(
      bytes.length === (end - start) * stride,
      `${bytes.length} bytes for ${end - start} rows of ${stride} of ${view.stored}`,
    )
    const head = new Uint8Array(headDim * stride)
    for (let first = start - (start % headDim); first < end; first += headDim) {
      this.#stored.read(view.stored, head, { start: first, end: first + headDim })
      for (let i = Math.max(first, start); i < Math.min(first + headDim, end); i++) {
        const from = interleavedIndex(i - first, headDim) * stride
        bytes.set(head.subarray(from, from + stride), (i - start) * stride)
      }
    }
  }

  #readVectorInHalves(view: WeightView, bytes: Uint8Array, headDim: number): void {
    const stored = this.#stored.get(view.stored)
    assert(stored !== null, `${view.stored} exists`)
    if (!isDense(stored.format))
      throw new CheckpointError(stored.file, `a vector of type ${stored.format} can't be reordered`, {
        tensor: view.stored,
      })
    const elementBytes = rowBytes(stored.format, 1)
    const source = new Uint8Array(bytes.length)
    this.#stored.read(view.stored, source)
    for (let i = 0; i < weightCols(stored); i++) {
      const inHead = i % headDim
      const from = (i - inHead + interleavedIndex(inHead, headDim)) * elementBytes
      bytes.set(source.subarray(from, from + elementBytes), i * elementBytes)
    }
  }
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

/** llama.cpp stores the rotary pair (i, i + half) of a head as rows (2i, 2i + 1). */
function interleavedIndex(index: number, headDim: number): number {
  const half = headDim / 2
  return index < half ? 2 * index : 2 * (index - half) + 1
}

/** Which HF tensor is where in the file. */
export function mapGgufWeights(
  tensors: readonly GgufTensor[],
  architecture: GgufArchitecture,
  context: { metadata: GgufMetadata; file: string },
): ReadonlyMap<string, WeightView> {
  const fields = new GgufFields(context.metadata, architecture.key, context.file)
  const views = new Map<string, WeightView>()
  const add = (name: string, view: WeightView): void => {
    if (views.has(name))
      throw new CheckpointError(context.file, `"${view.stored}" and another tensor both mean it`, { tensor: name })
    if (views.size >= maxViews) throw new CheckpointError(context.file, `has more than ${maxViews} weights`)
    views.set(name, view)
  }
  for (const tensor of tensors) {
    const view = {
      stored: tensor.name,
      shape: tensor.shape,
      rowStart: 0,
      headDim: null,
      isShifted: false,
      isOutIn: false,
    }
    const match = /^blk\.(\d+)\.([a-z_]+)(?:\.(\d+))?\.(weight|bias)$/.exec(tensor.name)
    const [, layer = '', part = '', expert, ending = ''] = match ?? []
    const prefix = `${architecture.layerPrefix}.${layer}`
    const projection = expertProjection(architecture, part)
    if (match !== null && architecture.experts !== null && projection !== null) {
      const experts = `${prefix}.${architecture.experts.prefix}`
      const whole = { ...view, isOutIn: architecture.hasInOutExperts && ending === 'weight' }
      if (expert !== undefined) add(`${experts}.${expert}.${projection}.${ending}`, whole)
      else
        for (const [index, slice] of unstack(whole, tensor, { file: context.file, ending }))
          add(`${experts}.${index}.${projection}.${ending}`, slice)
      continue
    }
    const layerName = architecture.layerNames[part]
    if (match === null || expert !== undefined || layerName === undefined)
      add(globalName(architecture, tensor.name), shiftNorm(view, architecture))
    else {
      // Sinks are a parameter of the attention, not of a module of their own.
      const name = part === 'attn_sinks' ? `${prefix}.${layerName}` : `${prefix}.${layerName}.${ending}`
      const headDim = architecture.hasInterleavedRotary ? rotaryHeadDim(part, tensor, fields) : null
      const isOutIn = architecture.hasConv1d && ending === 'weight' && tensor.shape.length === 2
      add(name, shiftNorm({ ...view, headDim, isOutIn }, architecture))
    }
  }
  return views
}

function globalName(architecture: GgufArchitecture, stored: string): string {
  const [, part = '', ending = ''] = /^([a-z_]+)\.(weight|bias)$/.exec(stored) ?? []
  const name = architecture.globalNames[part]
  return name === undefined ? stored : `${name}.${ending}`
}

function shiftNorm(view: WeightView, architecture: GgufArchitecture): WeightView {
  const isNorm = /(^|_|\.)norm\.weight$/.test(view.stored)
  return architecture.hasShiftedNorms && isNorm ? { ...view, isShifted: true } : view
}

/** `ffn_gate_exps` of a stack, or `ffn_gate` with an expert number in older files. */
function expertProjection(architecture: GgufArchitecture, part: string): string | null {
  const { experts } = architecture
  if (experts === null) return null
  switch (part.replace(/_exps$/, '')) {
    case 'ffn_gate':
      return experts.gate
    case 'ffn_up':
      return experts.up
    case 'ffn_down':
      return experts.down
    default:
      return null
  }
}

function* unstack(
  view: WeightView,
  tensor: GgufTensor,
  { file, ending }: { readonly file: string; readonly ending: string },
): Generator<[number, WeightView]> {
  const [numExperts, ...shape] = tensor.shape
  const expected = ending === 'weight' ? ['experts', 'out', 'in'] : ['experts', 'out']
  if (tensor.shape.length !== expected.length || numExperts === undefined || numExperts > 65_536) {
    const reason = `expected [${expected.join(', ')}], found shape [${tensor.shape.join(', ')}]`
    throw new CheckpointError(file, reason, { tensor: tensor.name })
  }
  const rows = sizeOf(shape.slice(0, -1))
  for (let expert = 0; expert < numExperts; expert++) yield [expert, { ...view, shape, rowStart: expert * rows }]
}

function rotaryHeadDim(part: string, tensor: GgufTensor, fields: GgufFields): number | null {
  if (part !== 'attn_q' && part !== 'attn_k') return null
  const numHeads = fields.requireCount('attention.head_count')
  const groups =
    part === 'attn_q' || fields.number('attention.head_count_kv') === null
      ? numHeads
      : fields.requireCount('attention.head_count_kv')
  const size = tensor.shape[0] ?? 0
  const headDim = size / groups
  // An odd head size can't be in rotary order; the model's own shape check names what is wrong.
  return Number.isInteger(headDim) && headDim % 2 === 0 && headDim > 0 ? headDim : null
}
