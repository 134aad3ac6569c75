import { tensor } from '@tensorflow/tfjs-core'
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core'
import type { Communicator } from '@octavo/core/engine'
import type { ProcessGroup } from './process-group.ts'

/** What core's layers need of a group of ranks. */
export function createCommunicator(group: ProcessGroup): Communicator {
  const { rank, size } = group
  return {
    rank,
    size,
    allReduce<T extends Tensor>(x: T): T {
      if (size === 1) return x
      // A copy: what `dataSync` gives may be the tensor's own memory.
      const sum = valuesOf(x).slice()
      group.allReduce(sum)
      return tensorOf(x, sum, x.shape)
    },
    allGather<T extends Tensor>(x: T, axis: number): T {
      if (size === 1) return x
      const values = valuesOf(x)
      const gathered = emptyLike(values, values.length * size)
      group.allGatherIntoTensor(gathered, values)
      const shape = x.shape.map((length, i) => (i === axis ? length * size : length))
      return tensorOf(x, axis === 0 ? gathered : joinAlong(gathered, size, x.shape.slice(axis)), shape)
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

/** From rank by rank to row by row; a rank's rows have the shape `inner`, whose first axis is the one that grows. */
function joinAlong(gathered: Values, size: number, inner: readonly number[]): Values {
  const rowLength = inner.reduce((product, length) => product * length, 1)
  const numRows = rowLength === 0 ? 0 : gathered.length / size / rowLength
  const joined = emptyLike(gathered, gathered.length)
  for (let rank = 0; rank < size; rank++)
    for (let row = 0; row < numRows; row++) {
      const from = (rank * numRows + row) * rowLength
      joined.set(gathered.subarray(from, from + rowLength), (row * size + rank) * rowLength)
    }
  return joined
}
