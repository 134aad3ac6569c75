import { CheckpointError } from '../errors.ts'
import { rowBytes, type DType } from '../tensor/dtype.ts'
import { isJsonObject } from '../util/json-object.ts'
import { findDuplicateKey, parseJsonObject } from './json-file.ts'
import { isRawOnly, rawBits, type RawOnlyDType } from './raw-tensor.ts'

/**
 * The safetensors format (github.com/huggingface/safetensors, README "Format"): u64 header length, little-endian; a JSON header
 * `{ name: { dtype, shape, data_offsets } }`; the data, tensor behind tensor without gaps.
 */

const maxRank = 8
const maxDimension = 2 ** 32

/** The format's dtypes, and what they are called here. */
export const safetensorsDtypes: ReadonlyMap<string, DType | RawOnlyDType> = new Map<string, DType | RawOnlyDType>([
  ['F32', 'float32'],
  ['F16', 'float16'],
  ['BF16', 'bfloat16'],
  ['F64', 'float64'],
  ['C64', 'complex64'],
  ['I64', 'int64'],
  ['U64', 'uint64'],
  ['I32', 'int32'],
  ['U32', 'uint32'],
  ['I16', 'int16'],
  ['U16', 'uint16'],
  ['I8', 'int8'],
  ['U8', 'uint8'],
  ['BOOL', 'bool'],
  ['F8_E4M3', 'float8_e4m3'],
  ['F8_E5M2', 'float8_e5m2'],
  ['F8_E8M0', 'float8_e8m0'],
  ['F8_E4M3FNUZ', 'float8_e4m3fnuz'],
  ['F8_E5M2FNUZ', 'float8_e5m2fnuz'],
  ['F6_E2M3', 'float6_e2m3'],
  ['F6_E3M2', 'float6_e3m2'],
  ['F4', 'float4'],
])

/** One entry of a header; `begin` and `end` count from the start of the data. */
export interface SafetensorsEntry {
  readonly name: string
  /** As the file calls it. */
  readonly storedDtype: string
  readonly dtype: DType | RawOnlyDType
  readonly shape: readonly number[]
  readonly begin: number
  readonly end: number
}

/** Checks a header against the size of the data behind it. Entries come back in file order. */
export function parseSafetensorsHeader(text: string, file: string, dataBytes: number): SafetensorsEntry[] {
  const header = parseJsonObject(text, file)
  const duplicate = findDuplicateKey(text)
  if (duplicate !== null) throw new CheckpointError(file, `the header has the key ${JSON.stringify(duplicate)} twice`)
  const entries: SafetensorsEntry[] = []
  for (const [name, value] of Object.entries(header)) {
    if (name !== '__metadata__') entries.push(parseEntry(name, value, { file, dataBytes }))
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end)
  let expected = 0
  let previous = 'the header'
  for (const entry of entries) {
    if (entry.begin !== expected) {
      const relation = entry.begin < expected ? 'overlaps' : `leaves ${entry.begin - expected} unused bytes behind`
      throw new CheckpointError(
        file,
        `begins at byte ${entry.begin} and so ${relation} ${previous}, which ends at ${expected}`,
        { tensor: entry.name },
      )
    }
    expected = entry.end
    previous = `"${entry.name}"`
  }
  if (expected !== dataBytes)
    throw new CheckpointError(file, `has ${dataBytes - expected} bytes behind the last tensor that no tensor owns`)
  return entries
}

function parseEntry(name: string, value: unknown, data: { file: string; dataBytes: number }): SafetensorsEntry {
  const { file, dataBytes } = data
  if (name === '__proto__') throw new CheckpointError(file, 'this name is not allowed', { tensor: name })
  if (!isJsonObject(value)) throw new CheckpointError(file, 'its header entry is not an object', { tensor: name })
  const { dtype, shape, data_offsets: offsets } = value
  const known = typeof dtype === 'string' ? safetensorsDtypes.get(dtype) : undefined
  if (typeof dtype !== 'string' || known === undefined)
    throw new CheckpointError(file, `unknown dtype ${JSON.stringify(dtype)}`, { tensor: name })
  if (!isShape(shape)) {
    throw new CheckpointError(file, `shape ${preview(shape)} is not a list of up to ${maxRank} sizes from 0 to 2^32`, {
      tensor: name,
    })
  }
  if (!isOffsets(offsets))
    throw new CheckpointError(file, `data_offsets ${preview(offsets)} are not two byte offsets`, { tensor: name })
  const [begin, end] = offsets
  if (begin > end || end > dataBytes) {
    const reason = `its data_offsets [${begin}, ${end}] lie outside the ${dataBytes} bytes of data; the file is truncated or damaged, download it again`
    throw new CheckpointError(file, reason, { tensor: name })
  }
  const numBits = shape.reduce((product, size) => product * size, 1) * bitsOf(known)
  if (numBits !== (end - begin) * 8) {
    throw new CheckpointError(
      file,
      `${dtype} of shape [${shape.join(', ')}] takes ${numBits / 8} bytes, but its data_offsets span ${end - begin}`,
      { tensor: name },
    )
  }
  return { name, storedDtype: dtype, dtype: known, shape, begin, end }
}

function bitsOf(dtype: DType | RawOnlyDType): number {
  return isRawOnly(dtype) ? rawBits[dtype] : 8 * rowBytes(dtype, 1)
}

function isShape(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= maxRank && value.every((size) => isCount(size) && size <= maxDimension)
}

function isOffsets(value: unknown): value is [number, number] {
  return Array.isArray(value) && value.length === 2 && value.every(isCount)
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function preview(value: unknown): string {
  return (JSON.stringify(value) ?? 'undefined').slice(0, 100)
}
