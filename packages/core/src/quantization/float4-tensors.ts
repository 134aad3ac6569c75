import { CheckpointError } from '../errors.ts'
import type { RawTensor } from '../loading/raw-tensor.ts'
import type { WeightView } from '../loading/weight-view.ts'
import { widenRow } from '../tensor/dequantize.ts'
import { groupedFormat } from '../tensor/grouped-format.ts'
import { byteScalesPlane, codesInBytes } from './byte-planes.ts'
import { e4m3Scales, e8m0Scales, type ByteScales } from './float8-codes.ts'
import { checkDtype, matrixShape, requireRaw, scaleDtypeOf, type GroupedTensors } from './grouped-tensors.ts'
import { resolveGroups } from './section.ts'

export const mxfp4GroupSize = 32
export const nvfp4GroupSize = 16

/** What an e2m1 weight's scales are. */
export type Float4Scales =
  /** Powers of two (OCP MX): e8m0 in bytes. */
  | { readonly kind: 'mxfp4' }
  /** e4m3, and one float32 of the whole tensor that they are multiplied with, or divided by. */
  | { readonly kind: 'nvfp4'; readonly globalScale: RawTensor; readonly isDivisor: boolean }

export interface Float4Module {
  readonly module: string
  /** Bytes of two codes: `[rows, cols / 2]`. */
  readonly weight: RawTensor
  readonly rows: number
  readonly cols: number
  readonly scaleName: string
  readonly scales: Float4Scales
  readonly groupSize: number
  readonly unused?: readonly string[]
}

/** A weight of e2m1 codes, two in a byte, the even column's in the low half. */
export function findFloat4(source: WeightView, found: Float4Module): GroupedTensors {
  const { module, weight, rows, cols, scaleName, scales, unused = [] } = found
  const { groupSize, numGroups } = resolveGroups(found.groupSize, cols)
  const isMx = scales.kind === 'mxfp4'
  const tensor = requireRaw(source, scaleName, {
    dtypes: isMx ? ['uint8', 'float8_e8m0'] : ['float8_e4m3'],
    shape: [rows, numGroups],
  })
  // e8m0 is exact in bfloat16; a product of two floats needs float32.
  const scaleDtype = isMx ? 'bfloat16' : 'float32'
  return {
    module,
    file: weight.file,
    rows,
    cols,
    format: groupedFormat({ bits: 4, codebook: 'e2m1', groupSize, scaleDtype }),
    order: null,
    codeUnit: 2,
    codes: codesInBytes(weight, cols, 4),
    scales: byteScalesPlane({
      tensor,
      cols: numGroups,
      scales: isMx ? e8m0Scales : nvfp4Scales(scales),
      dtype: scaleDtype,
    }),
    zeros: null,
    names: [weight.name, tensor.name, ...(isMx ? [] : [scales.globalScale.name])],
    unused: unused.map((name) => `${module}.${name}`),
  }
}

/** `[rows, cols]` of codes, two in each byte. */
export function packedShape(weight: RawTensor): [rows: number, cols: number] {
  checkDtype(weight, ['uint8'])
  const [rows, numBytes] = matrixShape(weight)
  return [rows, 2 * numBytes]
}

function nvfp4Scales({ globalScale, isDivisor }: Extract<Float4Scales, { kind: 'nvfp4' }>): ByteScales {
  const [global] = readScalars(globalScale, 1)
  if (global === undefined || !Number.isFinite(global) || global <= 0)
    throw new CheckpointError(globalScale.file, `expected a positive number, found ${global}`, {
      tensor: globalScale.name,
    })
  return e4m3Scales((value) => (isDivisor ? value / global : value * global))
}

/** All of a tensor of up to `count` floats, such as a scale of a whole weight. */
export function readScalars(tensor: RawTensor, count: number): Float32Array {
  const size = tensor.shape.reduce((product, dim) => product * dim, 1)
  if (size < 1 || size > count)
    throw new CheckpointError(
      tensor.file,
      `expected ${count} values at most, found shape [${tensor.shape.join(', ')}]`,
      {
        tensor: tensor.name,
      },
    )
  const bytes = new Uint8Array(tensor.sizeInBytes)
  const dtype = scaleDtypeOf(tensor)
  tensor.read(bytes)
  const values = new Float32Array(size)
  widenRow(dtype, bytes, values, size)
  return values
}
