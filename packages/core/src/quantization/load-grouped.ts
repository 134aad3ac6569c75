import { CheckpointError, InvalidConfigError } from '../errors.ts'
import type { MethodLoader } from '../layers/linear-method.ts'
import { planRuns, type MatrixRun, type MatrixSelection } from '../loading/matrix-parts.ts'
import type { RowRange } from '../loading/weight-source.ts'
import { encodeRow } from '../tensor/dequantize.ts'
import { type DType, rowBytes } from '../tensor/dtype.ts'
import {
  createGroupedReader,
  numGroups,
  planesOf,
  type GroupedFormat,
  type GroupedSpec,
  type GroupedWeight,
  type PlaneLayout,
} from '../tensor/grouped-format.ts'
import type { PackedWeight, StoredRows } from '../tensor/packed-weight.ts'
import { assert } from '../util/assert.ts'
import type { GroupedTensors, PlaneReader, PlaneTarget } from './grouped-tensors.ts'

interface Part extends GroupedTensors {
  /** Rows of the concatenation before it. */
  readonly start: number
}

interface GroupedPlan {
  readonly spec: GroupedSpec
  readonly runs: readonly MatrixRun<Part>[]
  readonly cols: RowRange
  /** Those of the kept columns; with an order, all. */
  readonly groups: RowRange
  readonly order: Int32Array | null // [spec.cols]
}

/**
 * Loads rows and columns of quantized modules, which have one format, as one weight: straight into the backend's memory, or
 * read there by the backend itself where the file has all planes as they are. With a dtype asked for, dequantized to it.
 */
export function loadGrouped(
  loader: MethodLoader,
  selection: MatrixSelection,
  modules: readonly GroupedTensors[],
): PackedWeight {
  const plan = planGrouped(selection, modules)
  const { dtype } = loader
  const { rows, cols } = plan.spec
  const weight =
    dtype === 'auto'
      ? loader.pack(plan.spec, (bytes) => fillPlanes(plan, bytes), locatePlanes(plan))
      : loader.pack({ format: dtype, rows, cols }, (bytes) => fillDense(plan, dtype, bytes))
  for (const { module, names, unused } of modules) {
    loader.loaded(names)
    for (const name of unused) loader.source.discard(name)
    // Some writers give every module a bias, and models without one do not ask for it.
    loader.source.discardZeros(`${module}.bias`)
  }
  return weight
}

/** The whole of a module in plain memory. */
export function readGrouped(module: GroupedTensors): GroupedWeight {
  const { rows, cols } = module
  const plan = planGrouped({ names: [module.module], expectedShape: [rows, cols] }, [module])
  return planesInMemory(plan)
}

function planGrouped(selection: MatrixSelection, modules: readonly GroupedTensors[]): GroupedPlan {
  const [first] = modules
  assert(first !== undefined, 'a grouped weight has modules')
  const parts = stack(selection, modules)
  const cols = selection.cols ?? { start: 0, end: first.cols }
  const runs = planRuns(parts, selection)
  const rows = runs.reduce((sum, { count }) => sum + count, 0)
  const width = cols.end - cols.start
  const { format, groups } = cutGroups(first, cols)
  const order = first.order?.subarray(cols.start, cols.end) ?? null
  return { spec: { format, rows, cols: width }, runs, cols, groups, order }
}

function stack({ names, expectedShape: [rows, cols] }: MatrixSelection, modules: readonly GroupedTensors[]): Part[] {
  let start = 0
  const parts = modules.map((module) => {
    const part = { ...module, start }
    start += module.rows
    return part
  })
  if (start !== rows || modules.some((module) => module.cols !== cols)) {
    const found = modules.map((module) => `[${module.rows}, ${module.cols}]`).join(' + ')
    throw new CheckpointError(
      modules[0]!.file,
      `expected a weight of ${rows} outputs and ${cols} inputs, found ${found}`,
      { tensor: names.join('" + "') },
    )
  }
  return parts
}

/** The format of some columns, and the groups that they are in. */
function cutGroups(
  { module, format, cols: allCols, codeUnit }: GroupedTensors,
  { start, end }: RowRange,
): { format: GroupedFormat; groups: RowRange } {
  const total = numGroups(format, allCols)
  if (start === 0 && end === allCols) return { format, groups: { start: 0, end: total } }
  const { groupSize, hasOrder } = format
  const unit = groupSize === 'channel' || hasOrder ? codeUnit : lcm(codeUnit, groupSize)
  if (start % unit !== 0 || (hasOrder && end - start < total))
    throw new InvalidConfigError(
      'tp',
      `columns ${start} to ${end} cut through blocks of ${unit} columns of ${module}; use fewer ranks`,
    )
  if (groupSize === 'channel') return { format, groups: { start: 0, end: 1 } }
  // With an order the size of groups only says how many scales there are, and the columns kept may be in any of them.
  if (hasOrder)
    return { format: { ...format, groupSize: Math.floor((end - start) / total) }, groups: { start: 0, end: total } }
  return { format, groups: { start: start / groupSize, end: Math.ceil(end / groupSize) } }
}

function fillPlanes({ spec, runs, cols, groups, order }: GroupedPlan, bytes: Uint8Array): void {
  const planes = planesOf(spec)
  const fill = (layout: PlaneLayout, plane: (part: Part) => PlaneReader, kept: RowRange): void => {
    for (const { part, start, count, to } of runs) {
      const target = targetOf(bytes, layout, { start: to, end: to + count })
      plane(part).read({ rows: { start, end: start + count }, cols: kept }, target)
    }
  }
  // Groups that the cut has and the weight has not are those of no column.
  const hasMoreGroups = numGroups(spec.format, spec.cols) > groups.end - groups.start
  if (hasMoreGroups) bytes.fill(0, planes.scales.offset, planes.sizeInBytes)
  fill(planes.codes, (part) => part.codes, cols)
  if (planes.order !== null && order !== null) bytes.set(new Uint8Array(order.slice().buffer), planes.order.offset)
  fill(planes.scales, (part) => part.scales, groups)
  if (planes.zeros !== null) fill(planes.zeros, (part) => part.zeros!, groups)
}

function targetOf(bytes: Uint8Array, { offset, stride }: PlaneLayout, rows: RowRange): PlaneTarget {
  return { bytes: bytes.subarray(offset + rows.start * stride, offset + rows.end * stride), stride }
}

/** `null` unless the file has all planes. */
function locatePlanes({ spec, runs, cols, groups }: GroupedPlan): readonly StoredRows[] | null {
  const { hasOrder, hasZeros } = spec.format
  if (hasOrder) return null
  const stored: StoredRows[] = []
  const locate = (plane: 'codes' | 'scales' | 'zeros', kept: RowRange): boolean =>
    runs.every(({ part, start, count }) => {
      const rows = part[plane]?.locate?.({ rows: { start, end: start + count }, cols: kept }) ?? null
      if (rows !== null) stored.push({ ...rows, plane })
      return rows !== null
    })
  const isStored = locate('codes', cols) && locate('scales', groups) && (!hasZeros || locate('zeros', groups))
  return isStored ? stored : null
}

function planesInMemory(plan: GroupedPlan): GroupedWeight {
  const planes = new Uint8Array(planesOf(plan.spec).sizeInBytes)
  fillPlanes(plan, planes)
  return { ...plan.spec, planes }
}

function fillDense(plan: GroupedPlan, dtype: DType, bytes: Uint8Array): void {
  const weight = planesInMemory(plan)
  const readRow = createGroupedReader(weight, weight.planes)
  const row = new Float32Array(weight.cols)
  const stride = rowBytes(dtype, weight.cols)
  for (let r = 0; r < weight.rows; r++) {
    readRow(r, row)
    encodeRow(dtype, row, bytes, r * stride)
  }
}

export function lcm(a: number, b: number): number {
  let [divisor, rest] = [a, b]
  while (rest !== 0) [divisor, rest] = [rest, divisor % rest]
  return (a / divisor) * b
}
