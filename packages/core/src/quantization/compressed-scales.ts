import { CheckpointError } from '../errors.ts'
import type { RawTensor } from '../loading/raw-tensor.ts'
import type { DType } from '../tensor/dtype.ts'
import { ceilDiv } from '../util/math.ts'
import type { CompressedWeights } from './compressed-tensors-config.ts'
import type { PlaneReader } from './grouped-tensors.ts'
import { elementBytesOf, rowsPlane } from './raw-matrix.ts'
import { resolveGroups } from './section.ts'

/** How a weight's rows and columns share scales. */
export interface ScaleGrid {
  /** Rows that share them. */
  readonly blockRows: number
  readonly groupSize: number | 'channel'
  /** Scales of a row. */
  readonly numGroups: number
  /** The shapes that a tensor of scales or zeros of it may have. */
  readonly shapes: readonly (readonly number[])[]
  /** What of the configuration they follow from. */
  readonly because?: string
}

export function scaleGrid(
  { strategy, groupSize, blockShape }: CompressedWeights,
  { rows, cols }: { readonly rows: number; readonly cols: number },
): ScaleGrid {
  const because = `strategy "${strategy}"${groupSize === null ? '' : `, group_size ${groupSize}`}${blockShape === null ? '' : `, blocks of ${blockShape.join(' x ')}`}`
  const channel = { groupSize: 'channel', numGroups: 1, because } as const
  if (strategy === 'tensor') return { ...channel, blockRows: rows, shapes: [[], [1], [1, 1]] }
  if (strategy === 'channel') return { ...channel, blockRows: 1, shapes: [[rows, 1], [rows]] }
  const [blockRows, width] = blockShape ?? [1, groupSize!]
  const groups = resolveGroups(width, cols)
  return { blockRows, ...groups, shapes: [[ceilDiv(rows, blockRows), groups.numGroups]], because }
}

/** Throws CheckpointError unless the tensor has a scale or zero for each part of the grid. */
export function checkGrid({ name, file, shape }: RawTensor, { shapes, because }: ScaleGrid): void {
  const isSame = (other: readonly number[]): boolean =>
    other.length === shape.length && other.every((size, i) => size === shape[i])
  if (shapes.some(isSame)) return
  const expected = shapes.map((other) => `[${other.join(', ')}]`).join(' or ')
  const reason = because === undefined ? '' : `, as the config says ${because}`
  throw new CheckpointError(file, `expected shape ${expected}${reason}, found [${shape.join(', ')}]`, { tensor: name })
}

/** A plane of `[rows, numGroups]`, of a tensor with one row for `blockRows`. */
export function gridPlane(tensor: RawTensor, { blockRows, numGroups }: ScaleGrid, dtype: DType): PlaneReader {
  const elementBytes = elementBytesOf(dtype)
  const plane = rowsPlane({ tensor, cols: numGroups, elementBytes })
  return blockRows === 1 ? plane : repeatedRows(plane, blockRows)
}

/** Each row of a plane `blockRows` times. */
export function repeatedRows(plane: PlaneReader, blockRows: number): PlaneReader {
  return {
    read({ rows, cols }, { bytes, stride }) {
      for (let row = rows.start; row < rows.end;) {
        const block = Math.floor(row / blockRows)
        const end = Math.min(rows.end, (block + 1) * blockRows)
        const first = (row - rows.start) * stride
        plane.read({ rows: { start: block, end: block + 1 }, cols }, { bytes: bytes.subarray(first), stride })
        for (let to = first + stride; to < (end - rows.start) * stride; to += stride)
          bytes.copyWithin(to, first, first + stride)
        row = end
      }
    },
  }
}
