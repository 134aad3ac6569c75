import { CheckpointError } from '../errors.ts'
import type { RawTensor } from '../loading/raw-tensor.ts'
import type { WeightView } from '../loading/weight-view.ts'
import type { DType } from '../tensor/dtype.ts'
import { groupedFormat } from '../tensor/grouped-format.ts'
import { ceilDiv } from '../util/math.ts'
import { byteScalesPlane, codesInBytes } from './byte-planes.ts'
import { checkGrid, gridPlane, repeatedRows, type ScaleGrid } from './compressed-scales.ts'
import { e8m0Scales, float8Codebook, isFloat8 } from './float8-codes.ts'
import { matrixShape, scaleDtypeOf, type GroupedTensors, type PlaneReader } from './grouped-tensors.ts'
import { resolveGroups } from './section.ts'

/** As transformers, vLLM and stacks of experts call them; "inv" is no reciprocal. */
const scaleNames = ['weight_scale_inv', 'weight_scale', 'scale_inv', 'scale']

/** Of a module, what its weight is computed without: activations are kept more precise than these ask for. */
const unusedPlanes = [
  'input_scale',
  'input_scale_inv',
  'input_scale_ub',
  'input_activation_scale',
  'activation_scale',
  'output_scale',
  'weight_shape',
]

/** DeepSeek's. */
const defaultBlock = [128, 128] as const
const mxGroupSize = 32

type Size = { readonly rows: number; readonly cols: number }

/** Scales of a weight of eight-bit floats, by the shape of their tensor. */
export type Float8Grid = (scales: RawTensor, size: Size) => ScaleGrid

/** Scales of the tensor, rows, blocks, or, where they are powers of two, groups of 32. */
export function float8Grid(blockShape: readonly [rows: number, cols: number] | null): Float8Grid {
  return (scales, { rows, cols }) => {
    const [blockRows, width] = blockShape ?? defaultBlock
    const channel = { groupSize: 'channel', numGroups: 1 } as const
    const blocks = resolveGroups(width, cols)
    const numBlocks = ceilDiv(rows, blockRows)
    const grids: ScaleGrid[] = [
      // Four dimensions: ModelOpt's.
      {
        blockRows,
        ...blocks,
        shapes: [
          [numBlocks, blocks.numGroups],
          [numBlocks, 1, blocks.numGroups, 1],
        ],
      },
      { blockRows: 1, ...channel, shapes: [[rows, 1], [rows]] },
      { blockRows: rows, ...channel, shapes: [[], [1], [1, 1]] },
    ]
    if (isByteScale(scales)) {
      const groups = resolveGroups(mxGroupSize, cols)
      grids.unshift({ blockRows: 1, ...groups, shapes: [[rows, groups.numGroups]] })
    }
    const isShapeOf = ({ shapes }: ScaleGrid): boolean => shapes.some((shape) => String(shape) === String(scales.shape))
    return grids.find(isShapeOf) ?? { ...grids[0]!, shapes: grids.flatMap(({ shapes }) => shapes) }
  }
}

export interface Float8Module {
  readonly module: string
  readonly weight: RawTensor
  readonly gridOf: Float8Grid
}

/** A weight whose elements are floats of eight bits, with scales of their own. */
export function findFloat8(source: WeightView, { module, weight, gridOf }: Float8Module): GroupedTensors {
  const { dtype } = weight
  if (!isFloat8(dtype))
    throw new CheckpointError(weight.file, `expected floats of eight bits, found ${dtype}`, { tensor: weight.name })
  const [rows, cols] = matrixShape(weight)
  const scales = scalesOf(source, module, weight)
  const grid = gridOf(scales, { rows, cols })
  checkGrid(scales, grid)
  const { plane, scaleDtype } = scalesPlane(scales, grid)
  return {
    module,
    file: weight.file,
    rows,
    cols,
    format: groupedFormat({ bits: 8, codebook: float8Codebook(dtype), groupSize: grid.groupSize, scaleDtype }),
    order: null,
    codeUnit: 1,
    codes: codesInBytes(weight, cols, 8),
    scales: plane,
    zeros: null,
    names: [weight.name, scales.name],
    unused: unusedPlanes.map((name) => `${module}.${name}`),
  }
}

function scalesOf(source: WeightView, module: string, weight: RawTensor): RawTensor {
  for (const name of scaleNames) {
    const scales = source.raw(`${module}.${name}`)
    if (scales !== null) return scales
  }
  throw new CheckpointError(
    weight.file,
    `is ${weight.dtype} and has no scale; looked for ${scaleNames.map((name) => `${module}.${name}`).join(', ')}`,
    { tensor: weight.name },
  )
}

function isByteScale({ dtype }: RawTensor): boolean {
  return dtype === 'float8_e8m0' || dtype === 'uint8'
}

function scalesPlane(tensor: RawTensor, grid: ScaleGrid): { plane: PlaneReader; scaleDtype: DType } {
  if (!isByteScale(tensor)) {
    const scaleDtype = scaleDtypeOf(tensor)
    return { plane: gridPlane(tensor, grid, scaleDtype), scaleDtype }
  }
  const plane = byteScalesPlane({ tensor, cols: grid.numGroups, scales: e8m0Scales, dtype: 'bfloat16' })
  return { plane: grid.blockRows === 1 ? plane : repeatedRows(plane, grid.blockRows), scaleDtype: 'bfloat16' }
}
