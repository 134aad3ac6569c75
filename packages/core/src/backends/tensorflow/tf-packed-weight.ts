import { isDense } from '../../tensor/dtype.ts'
import type { BlockFormat, DType } from '../../tensor/dtype.ts'
import { isGrouped, weightBytes } from '../../tensor/packed-weight.ts'
import type { FillWeight, PackedFormat, PackedWeight, PackedWeightSpec } from '../../tensor/packed-weight.ts'
import { assert } from '../../util/assert.ts'
import { ceilDiv } from '../../util/math.ts'
import { dequantizePlanes } from './dequantize-planes.ts'
import { dequantizeGrouped, groupedHandles, takeRows, uploadGrouped } from './grouped-planes.ts'
import type { GroupedPlanes } from './grouped-planes.ts'
import type { TfeTensor } from './libtensorflow/tfjs-binding.ts'
import { withOps } from './op-scope.ts'
import type { OpScope } from './op-scope.ts'
import { splitPlanes } from './stored-planes.ts'
import type { StoredPlanes } from './stored-planes.ts'
import { readFloats } from './tensorflow-backend.ts'
import type { TensorflowBackend } from './tensorflow-backend.ts'
import { boolAttr, tfDtype, typeAttr } from './tf-op.ts'

export interface PackingOptions {
  readonly fill: FillWeight
  readonly onDispose: (sizeInBytes: number) => void
}

/**
 * How the weight lies on the device.
 * `rows`: dense, `[rows, cols]`. `columns`: dense and transposed, `[cols, part of the rows]` each, which TensorFlow multiplies
 * two to three times faster from four rows of activations on. `planes`: codes and scales of blocks. `grouped`: of groups.
 */
export type Stored =
  | { readonly kind: 'rows'; readonly matrix: TfeTensor }
  | { readonly kind: 'columns'; readonly parts: readonly TfeTensor[] }
  | { readonly kind: 'planes'; readonly format: BlockFormat; readonly planes: StoredPlanes }
  | { readonly kind: 'grouped'; readonly planes: GroupedPlanes }

/** Grouped weights may each have an order of their own, so that they lie alone. */
export type Stackable = Extract<Stored, { kind: 'rows' | 'planes' }>

/** Where a weight lies that was stacked with others: it has no handles of its own any more. */
export interface WeightStack {
  /** The weight at `index` as it would lie alone; the handles belong to `ops`. */
  view(ops: OpScope, index: number): Stored
  /** One of its weights is disposed. */
  leave(): void
}

interface Stacked {
  readonly kind: 'stacked'
  readonly stack: WeightStack
  readonly index: number
}

/** Elements that are widened at once. On CPUs that is memory which the allocator keeps for the next time. */
const chunkElements = { cpu: 2 ** 22, gpu: 2 ** 26 }

const transposeB = [boolAttr('transpose_b', true)]

/**
 * A weight matrix in TensorFlow's memory, in as many bits as it is stored in. What is narrower than the activations is
 * widened piece by piece in each product: TensorFlow has no product of mixed types.
 */
export class TfPackedWeight implements PackedWeight {
  readonly format: PackedFormat
  readonly rows: number
  readonly cols: number
  readonly sizeInBytes: number
  readonly #backend: TensorflowBackend
  readonly #onDispose: (sizeInBytes: number) => void
  /** Its rows are looked up, so it stays as it is stored. */
  #isTable = false
  #stored: Stored | Stacked | null

  constructor(
    backend: TensorflowBackend,
    { format, rows, cols }: PackedWeightSpec,
    { fill, onDispose }: PackingOptions,
  ) {
    this.format = format
    this.rows = rows
    this.cols = cols
    this.sizeInBytes = weightBytes({ format, rows, cols })
    this.#backend = backend
    this.#onDispose = onDispose
    // Float32 elements, so that the array can be uploaded as such.
    const buffer = new ArrayBuffer(ceilDiv(this.sizeInBytes, 4) * 4)
    const bytes = new Uint8Array(buffer, 0, this.sizeInBytes)
    fill(bytes)
    this.#stored = withOps(backend, (ops) => this.#upload(ops, bytes))
  }

  /** x `[n, cols]` → `x @ weight^T`, plus a bias `[rows]`, `[n, rows]` in the dtype of `x`. */
  multiply(ops: OpScope, x: TfeTensor, bias: TfeTensor | null = null): TfeTensor {
    const fused = this.#multiplyFused(ops, x, bias)
    if (fused !== null) return fused
    const product = this.#product(ops, x)
    return bias === null ? product : ops.run('AddV2', [product, ops.cast(bias, product.dtype)])
  }

  /** Rows as they are stored, in an op of ours; null where it does not serve. */
  #multiplyFused(ops: OpScope, x: TfeTensor, bias: TfeTensor | null): TfeTensor | null {
    const stored = this.#live()
    if (x.dtype !== tfDtype.float32 || stored.kind !== 'rows' || !ops.has('OctavoLinear')) return null
    const { matrix } = stored
    if (matrix.dtype !== tfDtype.float32 && matrix.dtype !== tfDtype.bfloat16) return null
    if (bias === null) return ops.run('OctavoLinear', [x, matrix])
    return ops.run('OctavoLinearBias', [x, matrix, ops.cast(bias, tfDtype.float32)])
  }

  #product(ops: OpScope, x: TfeTensor): TfeTensor {
    if (!this.#isTable) this.#transpose(x.dtype)
    const stored = this.#view(ops)
    if (stored.kind === 'rows' && stored.matrix.dtype === x.dtype)
      return ops.run('MatMul', [x, stored.matrix], transposeB)
    const products =
      stored.kind === 'columns'
        ? stored.parts.map((part) => multiplyWide(ops, x, part))
        : this.chunks(x.dtype).map(([start, count]) => {
            const chunk = widened(ops, stored, { start, count, dtype: x.dtype, weight: this })
            const product = ops.run('MatMul', [x, chunk], transposeB)
            ops.free(chunk)
            return product
          })
    return ops.concat(products, 1)
  }

  /** Rows `ids` `[n]` (an int32 handle) → `[n, cols]` in float32. */
  lookUp(ops: OpScope, ids: TfeTensor): TfeTensor {
    this.#isTable = true
    return ops.cast(this.#rowsAt(ops, ids), tfDtype.float32)
  }

  readRow(row: number, out: Float32Array): void {
    assert(row >= 0 && row < this.rows, `weight row ${row} is outside [0, ${this.rows})`)
    this.#live()
    withOps(this.#backend, (ops) => out.set(readFloats(ops, this.#rowsAt(ops, ops.deviceInts(Int32Array.of(row))))))
  }

  dispose(): void {
    if (this.#stored === null) return
    if (this.#stored.kind === 'stacked') this.#stored.stack.leave()
    else this.#free(this.#stored)
    this.#stored = null
    this.#onDispose(this.sizeInBytes)
  }

  /** The stack it belongs to, or null. */
  get stack(): WeightStack | null {
    const stored = this.#live()
    return stored.kind === 'stacked' ? stored.stack : null
  }

  /** Its own handles as they were uploaded, if they can be stacked; null once a product has transposed them, or after it was stacked. */
  get uploaded(): Stackable | null {
    const stored = this.#live()
    return stored.kind === 'rows' || stored.kind === 'planes' ? stored : null
  }

  /** Frees its own handles: from now on it lies in `stack`. */
  moveTo(stack: WeightStack, index: number): void {
    const stored = this.#live()
    assert(stored.kind !== 'stacked', 'a packed weight was stacked twice')
    this.#free(stored)
    this.#stored = { kind: 'stacked', stack, index }
  }

  /** `[start, count]` of the rows that a product in `dtype` takes at once: all of them where none must be widened. */
  chunks(dtype: number): [start: number, count: number][] {
    const stored = this.#live()
    if (stored.kind === 'rows' && stored.matrix.dtype === dtype) return [[0, this.rows]]
    const elements = this.#backend.isUsingGpuDevice ? chunkElements.gpu : chunkElements.cpu
    const rows = Math.max(1, Math.floor(elements / this.cols))
    return Array.from({ length: ceilDiv(this.rows, rows) }, (_, i) => [i * rows, Math.min(rows, this.rows - i * rows)])
  }

  #live(): Stored | Stacked {
    assert(this.#stored !== null, 'a packed weight was used after dispose')
    return this.#stored
  }

  #view(ops: OpScope): Stored {
    const stored = this.#live()
    return stored.kind === 'stacked' ? stored.stack.view(ops, stored.index) : stored
  }

  #free(stored: Stored): void {
    for (const { id } of handlesOf(stored)) this.#backend.binding.deleteTensor(id)
  }

  #upload(ops: OpScope, bytes: Uint8Array<ArrayBuffer>): Stored {
    const { format, rows, cols } = this
    let stored: Stored
    if (isGrouped(format)) stored = { kind: 'grouped', planes: uploadGrouped(ops, bytes, { format, rows, cols }) }
    else if (!isDense(format))
      stored = { kind: 'planes', format, planes: splitPlanes(ops, bytes, { format, rows, cols }) }
    else stored = { kind: 'rows', matrix: denseMatrix(ops, bytes, { format, rows, cols }) }
    for (const handle of handlesOf(stored)) ops.release(handle)
    return stored
  }

  /** Rows as `[n, cols]`: dense ones in their own dtype, blocks as float32. */
  #rowsAt(ops: OpScope, ids: TfeTensor): TfeTensor {
    const stored = this.#view(ops)
    switch (stored.kind) {
      case 'rows':
        return ops.gather(stored.matrix, ids)
      case 'columns':
        return ops.run('Transpose', [ops.gather(ops.concat(stored.parts, 1), ids, 1), ops.hostInts([1, 0])])
      case 'planes':
        return dequantizePlanes(
          ops,
          stored.format,
          mapPlanes(stored.planes, (plane) => ops.gather(plane, ids)),
        )
      case 'grouped':
        return dequantizeGrouped(
          ops,
          takeRows(stored.planes, (plane) => ops.gather(plane, ids)),
        )
    }
  }

  /** Before its first product. Parts are as large as what is widened at once. */
  #transpose(dtype: number): void {
    const stored = this.#live()
    if (stored.kind !== 'rows') return
    const { matrix } = stored
    const parts = withOps(this.#backend, (ops) => {
      const made = this.chunks(dtype).map(([start, count]) => {
        const part = count === this.rows ? matrix : ops.slice(matrix, [start, 0], [count, this.cols])
        return ops.run('Transpose', [part, ops.hostInts([1, 0])])
      })
      return made.map((part) => ops.release(part))
    })
    this.#backend.binding.deleteTensor(matrix.id)
    this.#stored = { kind: 'columns', parts }
  }
}

/** `count` rows from `start` on, as `[count, cols]` in `dtype`. */
function widened(
  ops: OpScope,
  stored: Exclude<Stored, { kind: 'columns' }>,
  { start, count, dtype, weight }: { start: number; count: number; dtype: number; weight: PackedWeightSpec },
): TfeTensor {
  const isAll = count === weight.rows
  if (stored.kind === 'rows') {
    return ops.cast(isAll ? stored.matrix : ops.slice(stored.matrix, [start, 0], [count, weight.cols]), dtype)
  }
  return withOps(ops.device, (own) => {
    const take = (plane: TfeTensor): TfeTensor =>
      isAll ? plane : own.slice(plane, [start, ...plane.shape.slice(1).map(() => 0)], [count, ...plane.shape.slice(1)])
    const values =
      stored.kind === 'grouped'
        ? dequantizeGrouped(own, takeRows(stored.planes, take))
        : dequantizePlanes(own, stored.format, mapPlanes(stored.planes, take))
    return ops.take(own.release(own.cast(values, dtype)))
  })
}

function multiplyWide(ops: OpScope, x: TfeTensor, part: TfeTensor): TfeTensor {
  const wide = ops.cast(part, x.dtype)
  const product = ops.run('MatMul', [x, wide])
  ops.free(wide)
  return product
}

function denseMatrix(
  ops: OpScope,
  bytes: Uint8Array<ArrayBuffer>,
  { format, rows, cols }: { format: DType; rows: number; cols: number },
): TfeTensor {
  if (format === 'float32') return ops.floats(new Float32Array(bytes.buffer, 0, rows * cols), [rows, cols])
  return ops.run('Bitcast', [ops.bytes(bytes, [rows, cols, 2])], [typeAttr('type', tfDtype[format])])
}

export function mapPlanes(planes: StoredPlanes, map: (plane: TfeTensor) => TfeTensor): StoredPlanes {
  return new Map([...planes].map(([name, plane]) => [name, map(plane)]))
}

export function handlesOf(stored: Stored): readonly TfeTensor[] {
  switch (stored.kind) {
    case 'rows':
      return [stored.matrix]
    case 'columns':
      return stored.parts
    case 'planes':
      return [...stored.planes.values()]
    case 'grouped':
      return groupedHandles(stored.planes)
  }
}
