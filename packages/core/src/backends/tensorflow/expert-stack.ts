import { assert } from '../../util/assert.ts'
import { dequantizePlanes } from './dequantize-planes.ts'
import type { TfeTensor } from './libtensorflow/tfjs-binding.ts'
import { withOps } from './op-scope.ts'
import type { OpDevice, OpScope } from './op-scope.ts'
import { handlesOf, mapPlanes } from './tf-packed-weight.ts'
import type { Stackable, Stored, TfPackedWeight, WeightStack } from './tf-packed-weight.ts'
import { boolAttr } from './tf-op.ts'

/** The experts of some blocks. */
export interface ChosenExperts {
  readonly count: number
  /** Int32: `[expert, 0, 0, 0]`, where the one of a slice begins, or the experts `[count]` of a gather. */
  readonly at: TfeTensor
  readonly isSlice: boolean
}

/** Some rows of each expert's matrix: dense and transposed `[numExperts, 1, cols, numRows]`, or planes `[numExperts, numRows, numBlocks, length]`. */
interface StackPart {
  readonly numRows: number
  readonly stored: Stackable
}

/**
 * One projection of all experts, one behind the other, so that ops find an expert's weights by an index that is on the
 * device. Takes the place of the weights' own handles and is freed with the last of them.
 */
export class ExpertStack implements WeightStack {
  readonly #device: OpDevice
  readonly #weights: readonly TfPackedWeight[]
  readonly #parts: readonly StackPart[]
  #biases: TfeTensor | null = null
  #numLeft: number

  /** The stack that these weights form, made now if need be; null where they differ in format, or some lie elsewhere. */
  static of(ops: OpScope, weights: readonly TfPackedWeight[]): ExpertStack | null {
    const [first] = weights
    assert(first !== undefined, 'a mixture of no experts')
    const { stack } = first
    if (stack instanceof ExpertStack && stack.#holds(weights)) return stack
    if (new Set(weights).size < weights.length) return null
    const isAlike = weights.every(
      ({ uploaded, format, rows, cols }) =>
        uploaded !== null && format === first.format && rows === first.rows && cols === first.cols,
    )
    return isAlike ? new ExpertStack(ops.device, weights) : null
  }

  private constructor(device: OpDevice, weights: readonly TfPackedWeight[]) {
    this.#device = device
    this.#weights = weights
    this.#numLeft = weights.length
    const [first] = weights
    assert(first !== undefined, 'a mixture of no experts')
    this.#parts = withOps(device, (ops) => {
      const parts = first
        .chunks(device.computeDtype)
        .map(([start, numRows]) => ({ numRows, stored: stackRows(ops, weights, [start, numRows]) }))
      for (const { stored } of parts) for (const handle of handlesOf(stored)) ops.release(handle)
      return parts
    })
    weights.forEach((weight, i) => weight.moveTo(this, i))
  }

  /** x `[count * n, cols]` → `[count * n, rows]`, each block of `n` by its own expert's weight. */
  multiply(ops: OpScope, x: TfeTensor, chosen: ChosenExperts): TfeTensor {
    const products = this.#parts.map(({ numRows, stored }) =>
      withOps(this.#device, (own) => {
        const taken = mapHandles(stored, (stack) => takeExperts(own, stack, chosen))
        return ops.take(own.release(multiplyPart(own, x, { stored: taken, count: chosen.count, numRows })))
      }),
    )
    return ops.concat(products, 1)
  }

  /** Adds the chosen experts' biases to x `[count * n, rows]`; `biases` has one for each expert, the same at every call. */
  addBias(ops: OpScope, x: TfeTensor, biases: readonly (Float32Array | null)[], chosen: ChosenExperts): TfeTensor {
    const [first] = biases
    if (first === undefined || first === null) return x
    this.#biases ??= withOps(this.#device, (own) => {
      const all = new Float32Array(biases.length * first.length)
      biases.forEach((bias, i) => all.set(bias ?? [], i * first.length))
      return own.release(own.floats(all, [biases.length, 1, 1, first.length]))
    })
    const bias = ops.cast(takeExperts(ops, this.#biases, chosen), x.dtype)
    const { count } = chosen
    if (count === 1) return ops.run('AddV2', [x, ops.reshape(bias, [1, first.length])])
    const blocks = ops.reshape(x, [count, -1, first.length])
    return ops.reshape(ops.run('AddV2', [blocks, ops.reshape(bias, [count, 1, first.length])]), x.shape)
  }

  view(ops: OpScope, index: number): Stored {
    const parts = this.#parts.map(({ stored }) =>
      mapHandles(stored, (stack) => {
        const [, ...shape] = stack.shape
        return ops.reshape(ops.slice(stack, [index, 0, 0, 0], [1, -1, -1, -1]), shape)
      }),
    )
    const [first] = parts
    assert(first !== undefined, 'a stack has no parts')
    if (first.kind === 'rows') return { kind: 'columns', parts: parts.map((part) => columnsOf(ops, part)) }
    const joined = [...first.planes.keys()].map((name): [string, TfeTensor] => [
      name,
      ops.concat(
        parts.map((part) => planeOf(part, name)),
        0,
      ),
    ])
    return { ...first, planes: new Map(joined) }
  }

  leave(): void {
    this.#numLeft--
    if (this.#numLeft > 0) return
    const handles = this.#parts.flatMap(({ stored }) => handlesOf(stored))
    if (this.#biases !== null) handles.push(this.#biases)
    for (const { id } of handles) this.#device.binding.deleteTensor(id)
    this.#biases = null
  }

  #holds(weights: readonly TfPackedWeight[]): boolean {
    return weights.length === this.#weights.length && weights.every((weight, i) => weight === this.#weights[i])
  }
}

function stackRows(
  ops: OpScope,
  weights: readonly TfPackedWeight[],
  [start, numRows]: readonly [number, number],
): StackPart['stored'] {
  const stored = weights.map(({ uploaded }) => {
    assert(uploaded !== null, 'a weight that lies elsewhere was stacked')
    return uploaded
  })
  const [first] = stored
  assert(first !== undefined, 'a mixture of no experts')
  if (first.kind === 'rows') {
    const columns = stored.map((one) => {
      assert(one.kind === 'rows', 'weights of different formats were stacked')
      const [rows = 0, cols = 0] = one.matrix.shape
      const part = rows === numRows ? one.matrix : ops.slice(one.matrix, [start, 0], [numRows, cols])
      return ops.reshape(ops.run('Transpose', [part, ops.hostInts([1, 0])]), [1, 1, cols, numRows])
    })
    return { kind: 'rows', matrix: owned(ops, columns) }
  }
  const stack = (name: string): TfeTensor =>
    owned(
      ops,
      stored.map((one) => {
        const plane = planeOf(one, name)
        const [rows = 0, numBlocks = 0, length = 0] = plane.shape
        const part = rows === numRows ? plane : ops.slice(plane, [start, 0, 0], [numRows, -1, -1])
        return ops.reshape(part, [1, numRows, numBlocks, length])
      }),
    )
  return { ...first, planes: new Map([...first.planes.keys()].map((name) => [name, stack(name)])) }
}

/** Joined; one part alone is not the scope's to hand on, as it shares a weight's memory. */
function owned(ops: OpScope, parts: readonly TfeTensor[]): TfeTensor {
  return ops.run('Identity', [ops.concat(parts, 0)])
}

/** stack `[numExperts, …]` → `[count, …]`. A slice shares the stack's memory. */
function takeExperts(ops: OpScope, stack: TfeTensor, { at, isSlice }: ChosenExperts): TfeTensor {
  return isSlice ? ops.run('Slice', [stack, at, ops.hostInts([1, -1, -1, -1])]) : ops.gather(stack, at)
}

interface PartProduct {
  readonly stored: StackPart['stored']
  readonly count: number
  readonly numRows: number
}

/** x `[count * n, cols]` → `[count * n, numRows]`. One block is a plain product, for which CPUs have the better kernels. */
function multiplyPart(ops: OpScope, x: TfeTensor, { stored, count, numRows }: PartProduct): TfeTensor {
  const [n = 0, cols = 0] = x.shape
  const isTransposed = stored.kind === 'planes'
  const matrix = isTransposed ? [numRows, cols] : [cols, numRows]
  const weights = ops.reshape(ops.cast(elementsOf(ops, stored), x.dtype), count === 1 ? matrix : [count, ...matrix])
  if (count === 1) return ops.run('MatMul', [x, weights], [boolAttr('transpose_b', isTransposed)])
  const blocks = ops.reshape(x, [count, n / count, cols])
  const product = ops.run('BatchMatMulV2', [blocks, weights], [boolAttr('adj_y', isTransposed)])
  return ops.reshape(product, [n, numRows])
}

/** Of the chosen experts, in the order in which they are stacked. */
function elementsOf(ops: OpScope, stored: StackPart['stored']): TfeTensor {
  if (stored.kind === 'rows') return stored.matrix
  const planes = mapPlanes(stored.planes, (plane) => {
    const [count = 0, numRows = 0, numBlocks = 0, length = 0] = plane.shape
    return ops.reshape(plane, [count * numRows, numBlocks, length])
  })
  return dequantizePlanes(ops, stored.format, planes)
}

function mapHandles(stored: StackPart['stored'], map: (handle: TfeTensor) => TfeTensor): StackPart['stored'] {
  return stored.kind === 'rows'
    ? { kind: 'rows', matrix: map(stored.matrix) }
    : { ...stored, planes: mapPlanes(stored.planes, map) }
}

function planeOf(stored: StackPart['stored'], name: string): TfeTensor {
  const plane = stored.kind === 'planes' ? stored.planes.get(name) : undefined
  assert(plane !== undefined, `a packed weight has no ${name}`)
  return plane
}

/** One expert's part `[1, cols, numRows]` → `[cols, numRows]`. */
function columnsOf(ops: OpScope, part: StackPart['stored']): TfeTensor {
  assert(part.kind === 'rows', 'weights of different formats were stacked')
  return ops.reshape(part.matrix, part.matrix.shape.slice(1))
}
