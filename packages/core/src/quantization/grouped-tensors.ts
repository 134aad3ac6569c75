import { CheckpointError } from '../errors.ts'
import type { RawDType, RawTensor } from '../loading/raw-tensor.ts'
import type { RowRange } from '../loading/weight-source.ts'
import type { WeightView } from '../loading/weight-view.ts'
import type { DType } from '../tensor/dtype.ts'
import type { GroupedFormat } from '../tensor/grouped-format.ts'
import type { StoredRows } from '../tensor/packed-weight.ts'

/** Some rows of a plane and, of each, some codes or groups. */
export interface Region {
  readonly rows: RowRange
  readonly cols: RowRange
}

/** Where a region goes: its row `r` to `bytes[r * stride …]`. What lies between its rows stays as it is. */
export interface PlaneTarget {
  readonly bytes: Uint8Array
  readonly stride: number
}

/** A plane of a grouped weight (`tensor/grouped-format.ts`), made of what a file has. */
export interface PlaneReader {
  read(region: Region, target: PlaneTarget): void
  /** Where a file has these rows as the plane does; left out or `null`, nowhere. Counts as reading. */
  locate?(region: Region): StoredRows | null
}

/** One module's weight, whatever tensors its file keeps it in. Shapes have been checked. */
export interface GroupedTensors {
  readonly module: string
  readonly file: string
  readonly rows: number
  readonly cols: number
  readonly format: GroupedFormat
  /** The group of each column, checked; with `format.hasOrder`. */
  readonly order: Int32Array | null // [cols]
  /** Between how many columns the codes can be cut. */
  readonly codeUnit: number
  readonly codes: PlaneReader
  readonly scales: PlaneReader
  /** With `format.hasZeros`. */
  readonly zeros: PlaneReader | null
  /** Tensors that it is read from, for progress. */
  readonly names: readonly string[]
  /** Tensors of the module that it is computed without. */
  readonly unused: readonly string[]
}

/**
 * A plane that is small enough to be made at once: `[rows, cols]` elements. It is made when it is first read, as most of what
 * asks for a module only wants to know its size.
 */
export function planeInMemory(make: () => Uint8Array, cols: number): PlaneReader {
  let made: Uint8Array | null = null
  return {
    read({ rows, cols: { start, end } }, { bytes, stride }) {
      const plane = (made ??= make())
      for (let row = rows.start; row < rows.end; row++)
        bytes.set(plane.subarray(row * cols + start, row * cols + end), (row - rows.start) * stride)
    },
  }
}

export interface ExpectedTensor {
  readonly dtypes: readonly RawDType[]
  readonly shape: readonly number[]
  /** What of the configuration the shape follows from. */
  readonly because?: string
}

/** A tensor of the dtypes and shape that its layout asks for. */
export function requireRaw(source: WeightView, name: string, expected: ExpectedTensor): RawTensor {
  const tensor = source.raw(name)
  if (tensor === null)
    throw new CheckpointError(
      source.file,
      `missing among ${source.names().length} tensors, and its module has others of a quantized weight; download the checkpoint again`,
      { tensor: name },
    )
  checkDtype(tensor, expected.dtypes)
  const { shape, because } = expected
  if (tensor.shape.length !== shape.length || shape.some((size, i) => size !== tensor.shape[i]))
    throw new CheckpointError(
      tensor.file,
      `expected shape [${shape.join(', ')}]${because === undefined ? '' : `, as the config says ${because}`}, found [${tensor.shape.join(', ')}]`,
      { tensor: name },
    )
  return tensor
}

export function checkDtype({ name, file, dtype }: RawTensor, dtypes: readonly RawDType[]): void {
  if (!dtypes.includes(dtype))
    throw new CheckpointError(file, `expected ${dtypes.join(' or ')}, found ${dtype}`, { tensor: name })
}

/** `[rows, cols]`; throws CheckpointError for a tensor of more or fewer dimensions. */
export function matrixShape({ name, file, shape }: RawTensor): [rows: number, cols: number] {
  const [rows, cols] = shape
  if (shape.length !== 2 || rows === undefined || cols === undefined)
    throw new CheckpointError(file, `expected a matrix, found shape [${shape.join(', ')}]`, { tensor: name })
  return [rows, cols]
}

export const scaleDtypes: readonly DType[] = ['float16', 'bfloat16', 'float32']

/** The dtype of scales, which their file says. */
export function scaleDtypeOf({ name, file, dtype }: RawTensor): DType {
  const found = scaleDtypes.find((scaleDtype) => scaleDtype === dtype)
  if (found === undefined)
    throw new CheckpointError(file, `expected scales in ${scaleDtypes.join(' or ')}, found ${dtype}`, { tensor: name })
  return found
}
