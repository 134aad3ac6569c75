import { z } from 'zod'
import { CheckpointError, UnsupportedModelError } from '../errors.ts'
import type { RawTensor } from '../loading/raw-tensor.ts'
import type { WeightView } from '../loading/weight-view.ts'
import { encodeRow } from '../tensor/dequantize.ts'
import { groupedFormat } from '../tensor/grouped-format.ts'
import { ceilDiv, greatestCommonDivisor } from '../util/math.ts'
import { codesHighFirst } from './byte-planes.ts'
import { readScalars } from './float4-tensors.ts'
import { matrixShape, requireRaw, type GroupedTensors, type PlaneReader } from './grouped-tensors.ts'
import { signedCodes } from './int-quantized-layout.ts'
import type { QuantizationScheme } from './quantization-scheme.ts'

const size = z
  .int()
  .min(1)
  .max(2 ** 32)

/** `quant_state.bitsandbytes__nf4`: JSON in bytes. */
const stateSchema = z.object({
  blocksize: z
    .int()
    .min(1)
    .max(2 ** 20),
  shape: z.tuple([size, size]),
  nested_blocksize: z
    .int()
    .min(1)
    .max(2 ** 20)
    .optional(),
  nested_offset: z.number().optional(),
})

type State = z.output<typeof stateSchema>

const maxStateBytes = 4096
const types = ['nf4', 'fp4'] as const

/**
 * bitsandbytes' 4 bits (QLoRA, arXiv:2305.14314): a table of 16 values, blocks of the whole matrix read row by row, whose scales may
 * be quantized themselves; and LLM.int8() (arXiv:2208.07339), whose inputs are not split into outliers and others here.
 */
export function createBitsAndBytesScheme(): QuantizationScheme {
  return {
    name: 'bitsandbytes',
    find(source, module) {
      const weight = source.raw(`${module}.weight`)
      if (weight === null) return null
      if (source.raw(`${module}.SCB`) !== null) return findInt8(source, module, weight)
      for (const type of types) {
        const state = source.raw(`${weight.name}.quant_state.bitsandbytes__${type}`)
        if (state !== null) return findTable(source, { module, weight, state })
      }
      return null
    },
  }
}

interface TableModule {
  readonly module: string
  readonly weight: RawTensor
  readonly state: RawTensor
}

function findTable(source: WeightView, { module, weight, state: stateTensor }: TableModule): GroupedTensors {
  const { name, file } = weight
  const state = readState(stateTensor)
  const [rows, cols] = state.shape
  if (cols % 2 !== 0)
    throw new UnsupportedModelError(
      `${file}: ${name} has ${cols} columns; only an even number of 4-bit codes can be read`,
    )
  const numBytes = (rows * cols) / 2
  if (weight.sizeInBytes !== numBytes)
    throw new CheckpointError(
      file,
      `expected ${numBytes} bytes for shape [${rows}, ${cols}], found ${weight.sizeInBytes}`,
      {
        tensor: name,
      },
    )
  const blocks = readBlocks(source, name, state)
  // Blocks run on from row to row: where rows are not whole blocks, what divides both has one scale.
  const groupSize = greatestCommonDivisor(state.blocksize, cols)
  return {
    module,
    file,
    rows,
    cols,
    format: groupedFormat({
      bits: 4,
      codebook: readTable(source, `${name}.quant_map`),
      groupSize,
      scaleDtype: 'float32',
    }),
    order: null,
    codeUnit: 2,
    codes: codesHighFirst(weight, cols),
    scales: blockScales(blocks.read, { cols, groupSize, blockSize: state.blocksize }),
    zeros: null,
    names: [name, ...blocks.names],
    unused: [],
  }
}

function readState(tensor: RawTensor): State {
  if (tensor.dtype !== 'uint8' || tensor.sizeInBytes > maxStateBytes)
    throw new CheckpointError(tensor.file, `expected JSON of up to ${maxStateBytes} bytes`, { tensor: tensor.name })
  const bytes = new Uint8Array(tensor.sizeInBytes)
  tensor.read(bytes)
  const result = stateSchema.safeParse(tryJson(new TextDecoder().decode(bytes)))
  if (result.success) return result.data
  const [issue] = result.error.issues
  throw new CheckpointError(tensor.file, `its JSON is not as expected: "${issue?.path.join('.')}": ${issue?.message}`, {
    tensor: tensor.name,
  })
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function readTable(source: WeightView, name: string): number[] {
  const tensor = requireRaw(source, name, { dtypes: ['float32'], shape: [16] })
  return checkFinite(tensor, readScalars(tensor, 16))
}

function checkFinite({ name, file }: RawTensor, values: Float32Array): number[] {
  const wrong = values.find((value) => !Number.isFinite(value))
  if (wrong !== undefined) throw new CheckpointError(file, `holds ${wrong}, which is no scale`, { tensor: name })
  return [...values]
}

interface Blocks {
  readonly names: readonly string[]
  /** The scale of each block. */
  read(): Float32Array
}

/** Checked now and read once they are asked for. */
function readBlocks(source: WeightView, weight: string, { blocksize, shape, ...nested }: State): Blocks {
  const numBlocks = ceilDiv(shape[0] * shape[1], blocksize)
  const name = `${weight}.absmax`
  const { nested_blocksize: nestedSize, nested_offset: offset = 0 } = nested
  if (nestedSize === undefined) {
    const absmax = requireRaw(source, name, { dtypes: ['float32'], shape: [numBlocks] })
    return { names: [name], read: () => readScalars(absmax, numBlocks) }
  }
  const codes = requireRaw(source, name, { dtypes: ['uint8'], shape: [numBlocks] })
  const numNested = ceilDiv(numBlocks, nestedSize)
  const absmax = requireRaw(source, `${weight}.nested_absmax`, { dtypes: ['float32'], shape: [numNested] })
  const table = requireRaw(source, `${weight}.nested_quant_map`, { dtypes: ['float32'], shape: [256] })
  return {
    names: [name, absmax.name, table.name],
    read() {
      const bytes = new Uint8Array(numBlocks)
      codes.read(bytes)
      const values = readScalars(table, 256)
      const scales = readScalars(absmax, numNested)
      return Float32Array.from(
        bytes,
        (code, i) => Math.fround(values[code]! * scales[Math.floor(i / nestedSize)]!) + offset,
      )
    },
  }
}

/** A plane of the scales of blocks, where each `groupSize` columns have one. */
function blockScales(
  read: () => Float32Array,
  { cols, groupSize, blockSize }: { readonly cols: number; readonly groupSize: number; readonly blockSize: number },
): PlaneReader {
  let blocks: Float32Array | null = null
  return {
    read({ rows, cols: { start, end } }, { bytes, stride }) {
      blocks ??= read()
      const row = new Float32Array(end - start)
      for (let r = rows.start; r < rows.end; r++) {
        for (let group = start; group < end; group++)
          row[group - start] = blocks[Math.floor((r * cols + group * groupSize) / blockSize)]!
        encodeRow('float32', row, bytes, (r - rows.start) * stride)
      }
    },
  }
}

function findInt8(source: WeightView, module: string, weight: RawTensor): GroupedTensors {
  if (weight.dtype !== 'int8')
    throw new CheckpointError(weight.file, `expected int8 beside "SCB", found ${weight.dtype}`, { tensor: weight.name })
  refuseTiles(source, `${module}.weight_format`)
  const [rows, cols] = matrixShape(weight)
  const largest = requireRaw(source, `${module}.SCB`, { dtypes: ['float32'], shape: [rows] })
  const read = (): Float32Array => readScalars(largest, rows).map((value) => value / 127)
  return {
    module,
    file: weight.file,
    rows,
    cols,
    format: groupedFormat({ bits: 8, groupSize: 'channel', scaleDtype: 'float32' }),
    order: null,
    codeUnit: 1,
    codes: signedCodes({ tensor: weight, cols, elementBytes: 1 }),
    scales: blockScales(read, { cols, groupSize: cols, blockSize: cols }),
    zeros: null,
    names: [weight.name, largest.name],
    unused: [`${module}.weight_format`],
  }
}

/** 0 is row-major; others are what kernels of some GPUs want. */
function refuseTiles(source: WeightView, name: string): void {
  const tensor = source.raw(name)
  if (tensor === null) return
  const bytes = new Uint8Array(tensor.sizeInBytes)
  tensor.read(bytes)
  if (bytes.some((byte) => byte !== 0))
    throw new UnsupportedModelError(
      `${tensor.file}: ${tensor.name} says that the weight's elements lie in tiles; only rows can be read. Save the checkpoint with a current bitsandbytes`,
    )
}
