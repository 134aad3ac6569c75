import { tensor } from '@tensorflow/tfjs-core'
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core'
import type { Communicator } from '@octavo/core/engine'
import { mapValues } from '@octavo/core/ops'
import type { ProcessGroup } from './process-group.ts'

/** What core's layers need of a group of ranks. */
export function createCommunicator(group: ProcessGroup): Communicator {
  const { rank, size } = group
  return {
    rank,
    size,
    allReduce<T extends Tensor>(x: T): T {
      if (size === 1) return x
      if (isMatrix(x)) return sumMatrix(x, group) as Tensor as T
      // A copy: what `dataSync` gives may be the tensor's own memory.
      const sum = valuesOf(x).slice()
      group.allReduce(sum)
      return tensorOf(x, sum, x.shape)
    },
    allGather<T extends Tensor>(x: T, axis: number): T {
      if (size === 1) return x
      if (isMatrix(x)) return gatherMatrix(x, axis, group) as Tensor as T
      const values = valuesOf(x)
      const gathered = emptyLike(values, values.length * size)
      group.allGatherIntoTensor(gathered, values)
      const shape = x.shape.map((length, i) => (i === axis ? length * size : length))
      if (axis === 0) return tensorOf(x, gathered, shape)
      const joined = emptyLike(values, gathered.length)
      joinAlong({ gathered, joined }, size, x.shape.slice(axis))
      return tensorOf(x, joined, shape)
    },
    allToAll(x: Tensor2D, inputRows: readonly number[], outputRows: readonly number[]): Tensor2D {
      if (size === 1) return x
      const [, numColumns] = x.shape
      const splits = (rows: readonly number[]) => rows.map((count) => count * numColumns)
      const numRows = outputRows.reduce((sum, count) => sum + count, 0)
      const values = valuesOf(x)
      const received = emptyLike(values, numRows * numColumns)
      group.allToAllSingle(received, values, { inputSplits: splits(inputRows), outputSplits: splits(outputRows) })
      return tensorOf(x, received, [numRows, numColumns])
    },
  }
}

type Values = Float32Array | Int32Array

/** What decoders exchange: a backend may lend its memory for it. */
function isMatrix(x: Tensor): x is Tensor2D {
  return x.rank === 2 && x.dtype === 'float32'
}

function sumMatrix(x: Tensor2D, group: ProcessGroup): Tensor2D {
  return mapValues(x, {
    shape: x.shape,
    map(input, sum) {
      sum.set(input)
      group.allReduce(sum)
    },
  })
}

function gatherMatrix(x: Tensor2D, axis: number, group: ProcessGroup): Tensor2D {
  const { size } = group
  const [rows, columns] = x.shape
  // One row has the parts in the order that it needs.
  const isInOrder = axis === 0 || rows === 1
  const gathered = mapValues(x, {
    shape: axis === 1 && isInOrder ? [rows, columns * size] : [rows * size, columns],
    map: (input, output) => group.allGatherIntoTensor(output, input),
  })
  if (isInOrder) return gathered
  const joined = mapValues(gathered, {
    shape: [rows, columns * size],
    map: (input, output) => joinAlong({ gathered: input, joined: output }, size, [columns]),
  })
  gathered.dispose()
  return joined
}

function valuesOf(x: Tensor): Values {
  const values = x.dataSync()
  return values instanceof Float32Array ? values : Int32Array.from(values)
}

function emptyLike(values: Values, length: number): Values {
  return values instanceof Float32Array ? new Float32Array(length) : new Int32Array(length)
}

/** A sum has its parts' shape and a gather their rank, which the type of `tensor` cannot say. */
function tensorOf<T extends Tensor>(x: T, values: Values, shape: number[]): T {
  return tensor(values, shape, x.dtype) as T
}

interface Gathered {
  readonly gathered: Values
  readonly joined: Values
}

/** From rank by rank to row by row; a rank's rows have the shape `inner`, whose first axis is the one that grows. */
function joinAlong({ gathered, joined }: Gathered, size: number, inner: readonly number[]): void {
  const rowLength = inner.reduce((product, length) => product * length, 1)
  const numRows = rowLength === 0 ? 0 : gathered.length / size / rowLength
  for (let rank = 0; rank < size; rank++)
    for (let row = 0; row < numRows; row++) {
      const from = (rank * numRows + row) * rowLength
      joined.set(gathered.subarray(from, from + rowLength), (row * size + rank) * rowLength)
    }
}
