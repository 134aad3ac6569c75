import { CheckpointError, UnsupportedModelError } from '../errors.ts'
import type { QuantizationSection } from '../loading/quantization-section.ts'
import type { RawTensor } from '../loading/raw-tensor.ts'
import type { WeightView } from '../loading/weight-view.ts'
import { groupedFormat } from '../tensor/grouped-format.ts'
import { checkGrid, gridPlane, repeatedRows, scaleGrid, type ScaleGrid } from './compressed-scales.ts'
import { findFloatPacked, findFloatQuantized } from './compressed-floats.ts'
import { parseCompressedTensors, type CompressedWeights } from './compressed-tensors-config.ts'
import { isFloat8 } from './float8-codes.ts'
import {
  checkDtype,
  matrixShape,
  planeInMemory,
  scaleDtypeOf,
  scaleDtypes,
  type GroupedTensors,
  type PlaneReader,
} from './grouped-tensors.ts'
import { signedCodes } from './int-quantized-layout.ts'
import { findOrder } from './order.ts'
import { arePackedZerosMiddle, decodePackedZeros, paddedCodes, streamWords } from './pack-quantized-layout.ts'
import type { QuantizationScheme } from './quantization-scheme.ts'
import { codesInWords, readIntegers, readWords, rowsPlane } from './raw-matrix.ts'

/** Of a module, what its weight is computed without: activations are kept more precise than these ask for. */
const unusedPlanes = [
  'input_scale',
  'input_zero_point',
  'input_global_scale',
  'output_scale',
  'output_zero_point',
  'weight_shape',
  'weight_g_idx',
]

export function createCompressedTensorsScheme(section: QuantizationSection): QuantizationScheme {
  const config = parseCompressedTensors(section)
  return {
    name: 'compressed-tensors',
    find(source, module, role) {
      const packed = source.raw(`${module}.weight_packed`)
      const weight = packed ?? source.raw(`${module}.weight`)
      if (weight === null) {
        refuseScaleAlone(source, module)
        return null
      }
      if (scaleDtypes.some((dtype) => dtype === weight.dtype)) {
        refuseUncompressed(source, module)
        return null
      }
      const weights = config.weightsOf([module, source.storedModule(module)], role)
      const found = { module, weight, weights }
      if (isFloat8(weight.dtype)) return findFloatQuantized(source, found)
      if (packed === null) return findIntQuantized(source, found)
      return packed.dtype === 'uint8' ? findFloatPacked(source, found) : findPackQuantized(source, found)
    },
  }
}

function refuseScaleAlone(source: WeightView, module: string): void {
  const scale = source.raw(`${module}.weight_scale`)
  if (scale !== null)
    throw new CheckpointError(scale.file, `missing, and there is "${scale.name}"; download the checkpoint again`, {
      tensor: `${module}.weight_packed`,
    })
}

/** Files that were saved before they were compressed: the weights are those of before, and not what was asked for. */
function refuseUncompressed(source: WeightView, module: string): void {
  const scale = source.raw(`${module}.weight_scale`)
  if (scale !== null)
    throw new UnsupportedModelError(
      `${scale.file}: ${module} has a "weight_scale" and its weight is not quantized yet; save the checkpoint compressed`,
    )
}

interface CompressedModule {
  readonly module: string
  /** The tensor of codes. */
  readonly weight: RawTensor
  readonly weights: CompressedWeights
}

/** What both layouts have beside the codes. */
interface Found {
  readonly rows: number
  readonly cols: number
  readonly grid: ScaleGrid
  readonly bits: number
}

function findPackQuantized(source: WeightView, { module, weight, weights }: CompressedModule): GroupedTensors {
  checkDtype(weight, ['int32'])
  const { numBits: bits } = weights
  const [rows, numWords] = matrixShape(weight)
  if (weights.type !== 'int' || bits < 2 || bits > 8)
    throw new CheckpointError(
      weight.file,
      `expected integers of 2 to 8 bits, and its config says ${weights.type}${bits}`,
      {
        tensor: weight.name,
      },
    )
  const cols = packedCols(source, { module, weight, bits })
  const isPadded = streamWords(cols, bits, false) !== numWords
  if (isPadded && streamWords(cols, bits, true) !== numWords)
    throw new CheckpointError(
      weight.file,
      `expected ${streamWords(cols, bits, false)} words for ${cols} codes of ${bits} bits, found ${numWords}`,
      { tensor: weight.name },
    )
  const grid = scaleGrid(weights, { rows, cols })
  const found = { rows, cols, grid, bits }
  const zeroName = `${module}.weight_zero_point`
  const zeroTensor = source.raw(zeroName)
  const isPackedZero = zeroTensor?.dtype === 'int32' && zeroTensor.shape[0] !== Math.ceil(rows / grid.blockRows)
  const zeros =
    zeroTensor === null
      ? null
      : isPackedZero
        ? packedZeros(zeroTensor, { ...found, isPadded })
        : plainZeros(zeroTensor, found)
  const matrix = { tensor: weight, cols: numWords, elementBytes: 4 } as const
  return withScales(source, {
    module,
    ...found,
    zeros,
    weight,
    codes: isPadded ? paddedCodes(matrix, bits) : codesInWords(rowsPlane(matrix), bits),
    codeUnit: isPadded ? 1 : 32 / greatestPowerOfTwo(bits),
  })
}

/** From `weight_shape`, as the last word may be partly filled. */
function packedCols(
  source: WeightView,
  { module, weight, bits }: Pick<CompressedModule, 'module' | 'weight'> & { readonly bits: number },
): number {
  const [rows, numWords] = matrixShape(weight)
  const tensor = source.raw(`${module}.weight_shape`)
  if (tensor === null) return Math.floor((numWords * 32) / bits)
  checkDtype(tensor, ['int64', 'int32'])
  if (tensor.shape.length !== 1 || tensor.shape[0] !== 2)
    throw new CheckpointError(tensor.file, `expected two sizes, found shape [${tensor.shape.join(', ')}]`, {
      tensor: tensor.name,
    })
  const [storedRows, cols] = readIntegers(tensor)
  if (storedRows !== rows || cols === undefined || cols < 1 || cols > (numWords * 32) / bits)
    throw new CheckpointError(
      tensor.file,
      `says [${storedRows}, ${cols}], and ${weight.name} has ${rows} rows of ${numWords} words`,
      { tensor: tensor.name },
    )
  return cols
}

function findIntQuantized(source: WeightView, { module, weight, weights }: CompressedModule): GroupedTensors {
  checkDtype(weight, ['int8'])
  const [rows, cols] = matrixShape(weight)
  const grid = scaleGrid(weights, { rows, cols })
  const found = { rows, cols, grid, bits: 8 }
  const zeroTensor = source.raw(`${module}.weight_zero_point`)
  return withScales(source, {
    module,
    ...found,
    weight,
    zeros: zeroTensor && plainZeros(zeroTensor, found),
    codes: signedCodes({ tensor: weight, cols, elementBytes: 1 }),
    codeUnit: 1,
  })
}

interface CodesAndZeros extends Found {
  readonly module: string
  readonly weight: RawTensor
  readonly codes: PlaneReader
  readonly codeUnit: number
  /** `null` where all are in the middle. */
  readonly zeros: PlaneReader | null
}

function withScales(source: WeightView, found: CodesAndZeros): GroupedTensors {
  const { module, weight, rows, cols, grid, bits, codes, codeUnit, zeros } = found
  const { groupSize, numGroups } = grid
  const scaleName = `${module}.weight_scale`
  const scales = source.raw(scaleName)
  if (scales === null)
    throw new CheckpointError(weight.file, `there is no "${scaleName}" that says what its codes mean`, {
      tensor: weight.name,
    })
  const scaleDtype = scaleDtypeOf(scales)
  checkGrid(scales, grid)
  const order = findOrder(source, `${module}.weight_g_idx`, { cols, groupSize, numGroups })
  return {
    module,
    file: weight.file,
    rows,
    cols,
    format: groupedFormat({ bits, groupSize, scaleDtype, hasZeros: zeros !== null, hasOrder: order !== null }),
    order,
    codeUnit,
    codes,
    scales: gridPlane(scales, grid, scaleDtype),
    zeros,
    names: [weight.name, scales.name, `${module}.weight_zero_point`],
    unused: unusedPlanes.map((plane) => `${module}.${plane}`),
  }
}

function packedZeros(
  tensor: RawTensor,
  { rows, grid, bits, isPadded }: Found & { readonly isPadded: boolean },
): PlaneReader | null {
  const { numGroups, blockRows } = grid
  const points = Math.ceil(rows / blockRows)
  const [numWords, groups] = matrixShape(tensor)
  const expected = streamWords(points, bits, isPadded)
  if (numWords !== expected || groups !== numGroups)
    throw new CheckpointError(
      tensor.file,
      `expected shape [${expected}, ${numGroups}], as the config says ${grid.because}, found [${numWords}, ${groups}]`,
      { tensor: tensor.name },
    )
  const words = readWords(tensor)
  const packed = { bits, rows: points, groups, isPadded }
  return arePackedZerosMiddle(words, packed) ? null : zerosPlane(() => decodePackedZeros(words, packed), grid)
}

/** Signed integers, one for each scale. */
function plainZeros(tensor: RawTensor, { grid, bits }: Found): PlaneReader | null {
  checkDtype(tensor, ['int8', 'int32', 'int64'])
  checkGrid(tensor, grid)
  const middle = 2 ** (bits - 1)
  const points = readIntegers(tensor)
  const wrong = points.find((point) => point < -middle || point >= middle)
  if (wrong !== undefined)
    throw new CheckpointError(
      tensor.file,
      `holds ${wrong}, and codes of ${bits} bits are -${middle} to ${middle - 1}`,
      {
        tensor: tensor.name,
      },
    )
  if (points.every((point) => point === 0)) return null
  return zerosPlane(() => Uint8Array.from(points, (point) => point + middle), grid)
}

function zerosPlane(make: () => Uint8Array, { numGroups, blockRows }: ScaleGrid): PlaneReader {
  const plane = planeInMemory(make, numGroups)
  return blockRows === 1 ? plane : repeatedRows(plane, blockRows)
}

function greatestPowerOfTwo(value: number): number {
  return value & -value
}
