import { CheckpointError } from '../errors.ts'
import { weightFormats, type WeightFormat } from '../tensor/dtype.ts'
import { DeferredStrings, GgufReader } from './gguf-reader.ts'
import { isRawBlock, isRawOnly, rawBits, rawBlocks, type RawDType } from './raw-tensor.ts'
import type { TensorFile } from './tensor-file.ts'

/**
 * The GGUF header (github.com/ggml-org/ggml, docs/gguf.md), versions 2 and 3, little-endian.
 *
 * NOTE: `@huggingface/gguf` 0.4.6 is not used here. Its local-file mode fills what lies behind the end of the file with zeros and
 * reads them as values, so a file cut inside its header parses without an error; it cuts strings at the border of its 2 MB
 * chunks; it says nothing about offsets; and it parses an array anew from its start with every chunk.
 */

const maxMetadataEntries = 65_536
const maxTensors = 1_000_000
const maxKeyBytes = 65_535
const maxNameBytes = 256
const maxRank = 4
const maxDimension = 2 ** 32
const maxAlignment = 1024 * 1024

/** Values under GGUF's keys, such as 'tokenizer.ggml.tokens'; 64-bit integers beyond 2^53 are bigints. */
export type GgufMetadata = Readonly<Record<string, unknown>>

export interface GgufTensor {
  readonly name: string
  /** ggml's name of the type, such as 'Q4_K'. */
  readonly type: string
  /** `null` where Octavo has no kernels for the type. */
  readonly format: WeightFormat | null
  readonly dtype: RawDType
  /** Slowest dimension first, as in PyTorch: the reverse of the file's order. */
  readonly shape: readonly number[]
  /** In the file. */
  readonly position: number
  readonly sizeInBytes: number
}

export interface GgufHeader {
  readonly metadata: GgufMetadata
  readonly tensors: readonly GgufTensor[]
}

/** `ggml_type` in ggml.h. */
const ggmlTypes: ReadonlyMap<number, { name: string; dtype: RawDType }> = new Map(
  (
    [
      [0, 'F32', 'float32'],
      [1, 'F16', 'float16'],
      [2, 'Q4_0', 'q4_0'],
      [3, 'Q4_1', 'q4_1'],
      [6, 'Q5_0', 'q5_0'],
      [7, 'Q5_1', 'q5_1'],
      [8, 'Q8_0', 'q8_0'],
      [9, 'Q8_1', 'q8_1'],
      [10, 'Q2_K', 'q2_k'],
      [11, 'Q3_K', 'q3_k'],
      [12, 'Q4_K', 'q4_k'],
      [13, 'Q5_K', 'q5_k'],
      [14, 'Q6_K', 'q6_k'],
      [15, 'Q8_K', 'q8_k'],
      [16, 'IQ2_XXS', 'iq2_xxs'],
      [17, 'IQ2_XS', 'iq2_xs'],
      [18, 'IQ3_XXS', 'iq3_xxs'],
      [19, 'IQ1_S', 'iq1_s'],
      [20, 'IQ4_NL', 'iq4_nl'],
      [21, 'IQ3_S', 'iq3_s'],
      [22, 'IQ2_S', 'iq2_s'],
      [23, 'IQ4_XS', 'iq4_xs'],
      [24, 'I8', 'int8'],
      [25, 'I16', 'int16'],
      [26, 'I32', 'int32'],
      [27, 'I64', 'int64'],
      [28, 'F64', 'float64'],
      [29, 'IQ1_M', 'iq1_m'],
      [30, 'BF16', 'bfloat16'],
      [34, 'TQ1_0', 'tq1_0'],
      [35, 'TQ2_0', 'tq2_0'],
      [39, 'MXFP4', 'mxfp4'],
      [40, 'NVFP4', 'nvfp4'],
      [41, 'Q1_0', 'q1_0'],
    ] satisfies [number, string, RawDType][]
  ).map(([id, name, dtype]) => [id, { name, dtype }]),
)

/** ggml's number of a format. */
export function ggmlTypeOf(format: WeightFormat): number {
  for (const [id, { dtype }] of ggmlTypes) if (dtype === format) return id
  throw new Error(`${format} is no ggml type`)
}

/** Of these the kernels have formats. */
function formatOf(dtype: RawDType): WeightFormat | null {
  return isRawOnly(dtype) || isRawBlock(dtype) ? null : dtype
}

export const loadableGgmlTypes: readonly string[] = [...ggmlTypes.values()]
  .filter(({ dtype }) => !isRawOnly(dtype))
  .map(({ name }) => name)

/** Parses and checks the header; throws CheckpointError for anything that is not a whole, consistent file. */
export function readGgufHeader(file: TensorFile): GgufHeader {
  const reader = new GgufReader(file)
  checkMagic(reader, file)
  const numTensors = reader.count('tensor count', maxTensors)
  const numEntries = reader.count('metadata count', maxMetadataEntries)
  const metadata = readMetadata(reader, numEntries, file.path)
  const entries = Array.from({ length: numTensors }, () => readTensorEntry(reader, file.path))
  const alignment = metadata['general.alignment'] ?? 32
  if (
    typeof alignment !== 'number' ||
    alignment < 1 ||
    alignment > maxAlignment ||
    (alignment & (alignment - 1)) !== 0
  ) {
    throw new CheckpointError(
      file.path,
      `general.alignment is ${String(alignment)}, not a power of two up to ${maxAlignment}`,
    )
  }
  const dataStart = Math.ceil(reader.position / alignment) * alignment
  const tensors = entries.map((entry) => placeTensor(entry, { file, dataStart, alignment }))
  checkDistinct(tensors, file.path)
  return { metadata, tensors }
}

function checkMagic(reader: GgufReader, file: TensorFile): void {
  if (file.sizeInBytes < 24)
    throw new CheckpointError(file.path, `has ${file.sizeInBytes} bytes, less than a GGUF header; download it again`)
  if (reader.uint32() !== 0x46554747)
    throw new CheckpointError(file.path, 'does not begin with "GGUF": it is not a GGUF file')
  const version = reader.uint32()
  if (version === 2 || version === 3) return
  const reason = (version & 0xffff) === 0 ? 'is a big-endian GGUF file' : `is GGUF version ${version}`
  throw new CheckpointError(file.path, `${reason}; versions 2 and 3, little-endian, can be read`)
}

function readMetadata(reader: GgufReader, numEntries: number, file: string): GgufMetadata {
  // Without a prototype, so that no key of the file can mean anything but itself.
  const metadata: Record<string, unknown> = Object.create(null)
  for (let i = 0; i < numEntries; i++) {
    const key = reader.string('metadata key', maxKeyBytes)
    if (key in metadata) throw new CheckpointError(file, `has the metadata key ${JSON.stringify(key)} twice`)
    const value = reader.value(key)
    if (value instanceof DeferredStrings) defineDeferred(metadata, key, value)
    else metadata[key] = value
  }
  return metadata
}

/** A property like any other, whose value is made when it is first read. */
function defineDeferred(metadata: Record<string, unknown>, key: string, strings: DeferredStrings): void {
  let values: string[] | null = null
  Object.defineProperty(metadata, key, { get: () => (values ??= strings.decode()), enumerable: true })
}

interface TensorEntry {
  readonly name: string
  readonly shape: readonly number[]
  readonly type: number
  readonly offset: number
}

function readTensorEntry(reader: GgufReader, file: string): TensorEntry {
  const name = reader.string('tensor name', maxNameBytes)
  const rank = reader.uint32()
  if (rank > maxRank)
    throw new CheckpointError(file, `has ${rank} dimensions; GGUF allows ${maxRank}`, { tensor: name })
  const shape: number[] = []
  for (let i = 0; i < rank; i++) shape.unshift(reader.count(`dimension of tensor "${name}"`, maxDimension))
  if (shape.includes(0))
    throw new CheckpointError(file, `shape [${shape.join(', ')}] has no elements`, { tensor: name })
  const type = reader.uint32()
  const offset = reader.count(`offset of tensor "${name}"`, Number.MAX_SAFE_INTEGER)
  return { name, shape, type, offset }
}

function blockOf(dtype: RawDType): readonly [elements: number, bytes: number] {
  if (isRawOnly(dtype)) return [1, rawBits[dtype] / 8]
  if (isRawBlock(dtype)) return rawBlocks[dtype]
  return [weightFormats[dtype].blockElements, weightFormats[dtype].blockBytes]
}

function placeTensor(entry: TensorEntry, data: { file: TensorFile; dataStart: number; alignment: number }): GgufTensor {
  const { file, dataStart, alignment } = data
  const { name, shape } = entry
  const type = ggmlTypes.get(entry.type)
  if (type === undefined) throw new CheckpointError(file.path, `unknown ggml type ${entry.type}`, { tensor: name })
  if (entry.offset % alignment !== 0)
    throw new CheckpointError(file.path, `its offset ${entry.offset} is not a multiple of ${alignment}`, {
      tensor: name,
    })
  const position = dataStart + entry.offset
  const [blockElements, blockBytes] = blockOf(type.dtype)
  const cols = shape.at(-1) ?? 1
  if (cols % blockElements !== 0) {
    throw new CheckpointError(
      file.path,
      `rows of ${cols} elements can't be ${type.name}, whose blocks have ${blockElements}`,
      { tensor: name },
    )
  }
  const sizeInBytes = (shape.reduce((product, size) => product * size, 1) / blockElements) * blockBytes
  if (position + sizeInBytes > file.sizeInBytes) {
    const reason = `needs bytes ${position} to ${position + sizeInBytes}, but the file has ${file.sizeInBytes}; it is truncated or damaged, download it again`
    throw new CheckpointError(file.path, reason, { tensor: name })
  }
  return { name, type: type.name, format: formatOf(type.dtype), dtype: type.dtype, shape, position, sizeInBytes }
}

function checkDistinct(tensors: readonly GgufTensor[], file: string): void {
  const names = new Set<string>()
  for (const { name } of tensors) {
    if (names.has(name)) throw new CheckpointError(file, 'is listed twice', { tensor: name })
    names.add(name)
  }
  const placed = [...tensors].sort((a, b) => a.position - b.position)
  for (let i = 1; i < placed.length; i++) {
    const [before, tensor] = [placed[i - 1]!, placed[i]!]
    if (before.sizeInBytes > 0 && tensor.sizeInBytes > 0 && before.position + before.sizeInBytes > tensor.position) {
      throw new CheckpointError(file, `begins at byte ${tensor.position}, inside tensor "${before.name}"`, {
        tensor: tensor.name,
      })
    }
  }
}
