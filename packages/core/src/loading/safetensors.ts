import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { CheckpointError } from '../errors.ts'
import type { DType } from '../tensor/dtype.ts'
import { findDuplicateKey, isJsonObject, parseJsonObject, readJsonFile, type JsonObject } from './json-file.ts'
import { StoredWeights, type StoredTensor, type UnreadableTensor } from './stored-weights.ts'
import { TensorFile } from './tensor-file.ts'
import type { WeightSource } from './weight-source.ts'

/**
 * The safetensors format (github.com/huggingface/safetensors, README "Format"): u64 header length, little-endian; a JSON header
 * `{ name: { dtype, shape, data_offsets } }`; the data, tensor behind tensor without gaps.
 */

const maxHeaderBytes = 25 * 1024 * 1024
const maxIndexBytes = 64 * 1024 * 1024
const maxRank = 8
const maxDimension = 2 ** 32
const maxShards = 10_000

const bitsOfDtype: ReadonlyMap<string, number> = new Map([
  ...['F64', 'I64', 'U64', 'C64'].map((dtype) => [dtype, 64] as const),
  ...['F32', 'I32', 'U32'].map((dtype) => [dtype, 32] as const),
  ...['F16', 'BF16', 'I16', 'U16'].map((dtype) => [dtype, 16] as const),
  ...['BOOL', 'U8', 'I8', 'F8_E4M3', 'F8_E5M2', 'F8_E8M0', 'F8_E4M3FNUZ', 'F8_E5M2FNUZ'].map(
    (dtype) => [dtype, 8] as const,
  ),
  ...['F6_E2M3', 'F6_E3M2'].map((dtype) => [dtype, 6] as const),
  ['F4', 4] as const,
])

const formatOfDtype: ReadonlyMap<string, DType> = new Map([
  ['F32', 'float32'],
  ['F16', 'float16'],
  ['BF16', 'bfloat16'],
])

/** One entry of a header; `begin` and `end` count from the start of the data. */
export interface SafetensorsEntry {
  readonly name: string
  readonly dtype: string
  readonly shape: readonly number[]
  readonly begin: number
  readonly end: number
}

/**
 * Opens a `.safetensors` file, or a folder with `model.safetensors.index.json` or one or more `.safetensors` files.
 * Reads the headers only. Throws CheckpointError for every malformed or contradictory file.
 */
export function openSafetensors(path: string): WeightSource {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
  if (!isFolder) return openFiles(path, [path], null)
  const indexFile = join(path, 'model.safetensors.index.json')
  const index = readJsonFile(indexFile, maxIndexBytes)
  if (index !== null) return openIndexed(path, indexFile, index)
  return openFiles(path, listFiles(path), null)
}

/** The tensor → shard table of an index file. Shard names must be plain names of `.safetensors` files. */
export function parseSafetensorsIndex(index: JsonObject, file: string): Map<string, string> {
  const weightMap = index['weight_map']
  if (!isJsonObject(weightMap))
    throw new CheckpointError(file, '"weight_map" must be an object of tensor names and shard files')
  const shardOf = new Map<string, string>()
  for (const [name, shard] of Object.entries(weightMap)) {
    if (typeof shard !== 'string' || !/^[\w][\w.+-]*\.safetensors$/.test(shard)) {
      throw new CheckpointError(
        file,
        `the shard ${JSON.stringify(shard)} is not a plain .safetensors file name in this folder`,
        name,
      )
    }
    shardOf.set(name, shard)
  }
  const numShards = new Set(shardOf.values()).size
  if (numShards === 0 || numShards > maxShards)
    throw new CheckpointError(file, `names ${numShards} shards; 1 to ${maxShards} are allowed`)
  return shardOf
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
        entry.name,
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
  if (name === '__proto__') throw new CheckpointError(file, 'this name is not allowed', name)
  if (!isJsonObject(value)) throw new CheckpointError(file, 'its header entry is not an object', name)
  const { dtype, shape, data_offsets: offsets } = value
  const bits = typeof dtype === 'string' ? bitsOfDtype.get(dtype) : undefined
  if (typeof dtype !== 'string' || bits === undefined)
    throw new CheckpointError(file, `unknown dtype ${JSON.stringify(dtype)}`, name)
  if (!isShape(shape)) {
    throw new CheckpointError(
      file,
      `shape ${preview(shape)} is not a list of up to ${maxRank} sizes from 0 to 2^32`,
      name,
    )
  }
  if (!isOffsets(offsets))
    throw new CheckpointError(file, `data_offsets ${preview(offsets)} are not two byte offsets`, name)
  const [begin, end] = offsets
  if (begin > end || end > dataBytes) {
    const reason = `its data_offsets [${begin}, ${end}] lie outside the ${dataBytes} bytes of data; the file is truncated or damaged, download it again`
    throw new CheckpointError(file, reason, name)
  }
  const numBits = shape.reduce((product, size) => product * size, 1) * bits
  if (numBits !== (end - begin) * 8) {
    throw new CheckpointError(
      file,
      `${dtype} of shape [${shape.join(', ')}] takes ${numBits / 8} bytes, but its data_offsets span ${end - begin}`,
      name,
    )
  }
  return { name, dtype, shape, begin, end }
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

function openIndexed(folder: string, indexFile: string, index: JsonObject): WeightSource {
  const shardOf = parseSafetensorsIndex(index, indexFile)
  const shards = [...new Set(shardOf.values())].sort()
  for (const shard of shards) {
    if (!existsSync(join(folder, shard))) {
      throw new CheckpointError(indexFile, `names the shard ${shard}, which is missing from ${folder}; download it`)
    }
  }
  const paths = shards.map((shard) => join(folder, shard))
  return openFiles(folder, paths, {
    file: indexFile,
    pathOf: new Map([...shardOf].map(([name, shard]) => [name, join(folder, shard)])),
  })
}

interface ShardIndex {
  readonly file: string
  readonly pathOf: ReadonlyMap<string, string>
}

function openFiles(checkpoint: string, paths: readonly string[], index: ShardIndex | null): WeightSource {
  const files = new Map<string, TensorFile>()
  const tensors = new Map<string, StoredTensor | UnreadableTensor>()
  try {
    for (const path of paths) {
      const file = new TensorFile(path)
      files.set(path, file)
      for (const tensor of readTensors(file)) addTensor(tensors, tensor, index)
    }
    for (const [name, path] of index?.pathOf ?? []) {
      if (!tensors.has(name))
        throw new CheckpointError(path, `missing, though ${index?.file} says that it is here`, name)
    }
  } catch (error) {
    for (const file of files.values()) file.close()
    throw error
  }
  return new StoredWeights(checkpoint, tensors, files)
}

function addTensor(
  tensors: Map<string, StoredTensor | UnreadableTensor>,
  tensor: StoredTensor | UnreadableTensor,
  index: ShardIndex | null,
): void {
  const { name, file } = 'info' in tensor ? tensor.info : tensor
  // A shard may hold a tensor that the index gives to another shard; the index decides.
  if (index !== null && (index.pathOf.get(name) ?? file) !== file) return
  const other = tensors.get(name)
  if (other !== undefined) {
    const otherFile = 'info' in other ? other.info.file : other.file
    throw new CheckpointError(file, `is also in ${otherFile}, and no index file says which one counts`, name)
  }
  tensors.set(name, tensor)
}

function readTensors(file: TensorFile): (StoredTensor | UnreadableTensor)[] {
  if (file.sizeInBytes < 8)
    throw new CheckpointError(
      file.path,
      `has ${file.sizeInBytes} bytes, less than a safetensors header; download it again`,
    )
  const prefix = new Uint8Array(8)
  file.read(prefix, 0)
  const headerBytes = new DataView(prefix.buffer).getBigUint64(0, true)
  if (headerBytes > BigInt(maxHeaderBytes)) {
    throw new CheckpointError(
      file.path,
      `declares a header of ${headerBytes} bytes; the limit is ${maxHeaderBytes}. Is this a safetensors file?`,
    )
  }
  const length = Number(headerBytes)
  if (8 + length > file.sizeInBytes) {
    throw new CheckpointError(
      file.path,
      `declares a header of ${length} bytes but has ${file.sizeInBytes} in all; download it again`,
    )
  }
  const bytes = new Uint8Array(length)
  file.read(bytes, 8)
  const entries = parseSafetensorsHeader(decodeUtf8(bytes, file.path), file.path, file.sizeInBytes - 8 - length)
  return entries.map((entry) => toTensor(entry, file.path, 8 + length))
}

function decodeUtf8(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new CheckpointError(file, 'its header is not UTF-8; is this a safetensors file?', null, { cause: error })
  }
}

function toTensor(entry: SafetensorsEntry, file: string, dataStart: number): StoredTensor | UnreadableTensor {
  const { name, dtype, shape, begin, end } = entry
  const format = formatOfDtype.get(dtype)
  if (format === undefined) {
    return {
      name,
      file,
      reason: `its dtype is ${dtype}, and only F32, F16 and BF16 can be loaded; quantized checkpoints come later`,
    }
  }
  return { info: { name, file, shape, format, sizeInBytes: end - begin }, position: dataStart + begin }
}

function listFiles(folder: string): string[] {
  let names: string[]
  try {
    names = readdirSync(folder)
  } catch (error) {
    throw new CheckpointError(
      folder,
      `can't be read (${error instanceof Error ? error.message : String(error)})`,
      null,
      { cause: error },
    )
  }
  // Mistral's own format lies beside the HF one as consolidated.safetensors, with the same weights under other names.
  const files = names.filter((name) => name.endsWith('.safetensors') && !name.startsWith('consolidated')).sort()
  if (files.length > 0) return files.map((name) => join(folder, name))
  const pickle = names.find((name) => /\.(bin|pt|pth)$/.test(name))
  const reason =
    pickle === undefined
      ? 'has no .safetensors file'
      : `has ${pickle} but no .safetensors file. PyTorch pickles can run code, so they are not loaded; convert the model to safetensors`
  throw new CheckpointError(folder, reason)
}
