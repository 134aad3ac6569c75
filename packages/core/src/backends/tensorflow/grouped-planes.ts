import { codeValues, columnGroups, planesOf } from '../../tensor/grouped-format.ts'
import type { GroupedSpec, PlaneLayout } from '../../tensor/grouped-format.ts'
import type { TfeTensor } from './libtensorflow/tfjs-binding.ts'
import type { OpScope } from './op-scope.ts'
import { tfDtype, typeAttr } from './tf-op.ts'

/** Planes with one row for each of the weight's. */
interface RowPlanes {
  readonly codes: TfeTensor // uint8 [rows, bytes of a row]
  readonly scales: TfeTensor // [rows, numGroups]
  readonly zeros: TfeTensor | null // uint8 [rows, numGroups]
}

/** What all rows share: where the code of each column lies, int32 `[cols]`. */
interface ColumnMap {
  readonly firstByte: TfeTensor
  /** A code may reach into this one. */
  readonly nextByte: TfeTensor
  readonly shift: TfeTensor
  readonly group: TfeTensor
  /** float32 [2^bits] */
  readonly values: TfeTensor
}

/** A grouped weight on the device. */
export interface GroupedPlanes extends RowPlanes {
  readonly columns: ColumnMap
}

export function uploadGrouped(ops: OpScope, bytes: Uint8Array, spec: GroupedSpec): GroupedPlanes {
  const { format, rows } = spec
  const { codes, scales, zeros } = planesOf(spec)
  const raw = ({ offset, sizeInBytes, stride }: PlaneLayout): TfeTensor =>
    ops.bytes(bytes.subarray(offset, offset + sizeInBytes), [rows, stride])
  return {
    codes: raw(codes),
    scales: asFloats(ops, raw(scales), tfDtype[format.scaleDtype]),
    zeros: zeros === null ? null : raw(zeros),
    columns: mapColumns(ops, bytes, spec),
  }
}

/** bytes `[rows, numGroups * size]` → `[rows, numGroups]` */
function asFloats(ops: OpScope, bytes: TfeTensor, dtype: number): TfeTensor {
  const [rows = 0, stride = 0] = bytes.shape
  const size = dtype === tfDtype.float32 ? 4 : 2
  return ops.run('Bitcast', [ops.reshape(bytes, [rows, stride / size, size])], [typeAttr('type', dtype)])
}

function mapColumns(ops: OpScope, bytes: Uint8Array, spec: GroupedSpec): ColumnMap {
  const { format, cols } = spec
  const { bits } = format
  const lastByte = planesOf(spec).codes.stride - 1
  const perColumn = (map: (col: number) => number): TfeTensor =>
    ops.deviceInts(Int32Array.from({ length: cols }, (_, col) => map(col)))
  return {
    firstByte: perColumn((col) => (col * bits) >>> 3),
    nextByte: perColumn((col) => Math.min(((col * bits) >>> 3) + 1, lastByte)),
    shift: perColumn((col) => (col * bits) & 7),
    group: ops.deviceInts(columnGroups(spec, bytes)),
    values: ops.floats(codeValues(format)),
  }
}

/** The same rows of each plane. */
export function takeRows(planes: GroupedPlanes, take: (plane: TfeTensor) => TfeTensor): GroupedPlanes {
  const { codes, scales, zeros, columns } = planes
  return { codes: take(codes), scales: take(scales), zeros: zeros === null ? null : take(zeros), columns }
}

export function groupedHandles({ codes, scales, zeros, columns }: GroupedPlanes): readonly TfeTensor[] {
  const { firstByte, nextByte, shift, group, values } = columns
  return [codes, scales, ...(zeros === null ? [] : [zeros]), firstByte, nextByte, shift, group, values]
}

/** Planes of `n` rows → their float32 values `[n, cols]`: the same bits as the reference, since each is rounded once. */
export function dequantizeGrouped(ops: OpScope, { codes, scales, zeros, columns }: GroupedPlanes): TfeTensor {
  const byteAt = (at: TfeTensor): TfeTensor => ops.cast(ops.gather(codes, at, 1), tfDtype.int32)
  const upper = ops.run('LeftShift', [byteAt(columns.nextByte), ops.device.scalar(8, tfDtype.int32)])
  const both = ops.run('BitwiseOr', [byteAt(columns.firstByte), upper])
  const [numValues = 1] = columns.values.shape
  const mask = ops.device.scalar(numValues - 1, tfDtype.int32)
  const code = ops.run('BitwiseAnd', [ops.run('RightShift', [both, columns.shift]), mask])
  const values = ops.gather(columns.values, code)
  const ofGroup = (plane: TfeTensor): TfeTensor => ops.gather(ops.cast(plane, tfDtype.float32), columns.group, 1)
  const centered = zeros === null ? values : ops.run('Sub', [values, ofGroup(zeros)])
  return ops.run('Mul', [centered, ofGroup(scales)])
}
