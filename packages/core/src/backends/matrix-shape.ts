import type { TensorInfo } from '@tensorflow/tfjs-core'
import { assert } from '../util/assert.ts'

/** `[rows, columns]` of a kernel's matrix input. */
export function matrixShape(tensor: TensorInfo | undefined): [rows: number, columns: number] {
  const [rows, columns] = tensor?.shape ?? []
  assert(rows !== undefined && columns !== undefined, 'a kernel takes a matrix')
  return [rows, columns]
}
