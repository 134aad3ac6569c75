import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { CheckpointError } from '../errors.ts'
import { messageOf } from '../util/message-of.ts'
import { isRawOnly } from './raw-tensor.ts'
import { parseSafetensorsHeader, type SafetensorsEntry } from './safetensors-header.ts'
import { isPickle, isSafetensorsFile, readSafetensorsIndex, type SafetensorsIndex } from './safetensors-index.ts'
import { StoredWeights, type StoredTensor, type UnreadableTensor } from './stored-weights.ts'
import { TensorFile } from './tensor-file.ts'
import type { WeightSource } from './weight-source.ts'

/** A hundred thousand tensors take some 15 MiB. */
const maxHeaderBytes = 25 * 1024 * 1024

/**
 * Opens a `.safetensors` file, or a folder with `model.safetensors.index.json` or one or more `.safetensors` files.
 * Reads the headers only. Throws CheckpointError for every malformed or contradictory file.
 */
export function openSafetensors(path: string): WeightSource {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
  if (!isFolder) return openFiles(path, [path], null)
  const index = readSafetensorsIndex(path)
  return index === null ? openFiles(path, listFiles(path), null) : openIndexed(path, index)
}

function openIndexed(folder: string, { file, shardOf }: SafetensorsIndex): WeightSource {
  const shards = [...new Set(shardOf.values())].sort()
  for (const shard of shards) {
    if (!existsSync(join(folder, shard))) {
      throw new CheckpointError(file, `names the shard ${shard}, which is missing from ${folder}; download it`)
    }
  }
  const paths = shards.map((shard) => join(folder, shard))
  return openFiles(folder, paths, {
    file,
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
        throw new CheckpointError(path, `missing, though ${index?.file} says that it is here`, { tensor: name })
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
    throw new CheckpointError(file, `is also in ${otherFile}, and no index file says which one counts`, {
      tensor: name,
    })
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
    throw new CheckpointError(file, 'its header is not UTF-8; is this a safetensors file?', { cause: error })
  }
}

function toTensor(entry: SafetensorsEntry, file: string, dataStart: number): StoredTensor | UnreadableTensor {
  const { name, storedDtype, dtype, shape, begin, end } = entry
  const [position, sizeInBytes] = [dataStart + begin, end - begin]
  if (!isRawOnly(dtype)) return { info: { name, file, shape, format: dtype, sizeInBytes }, position }
  return {
    name,
    file,
    reason: `its dtype is ${storedDtype}, and only F32, F16 and BF16 are weights by themselves; a quantization_config would have to say what it means`,
    raw: { dtype, shape, sizeInBytes, position },
  }
}

function listFiles(folder: string): string[] {
  let names: string[]
  try {
    names = readdirSync(folder)
  } catch (error) {
    throw new CheckpointError(folder, `can't be read (${messageOf(error)})`, {
      cause: error,
    })
  }
  const files = names.filter(isSafetensorsFile).sort()
  if (files.length > 0) return files.map((name) => join(folder, name))
  const pickle = names.find(isPickle)
  const reason =
    pickle === undefined
      ? 'has no .safetensors file'
      : `has ${pickle} but no .safetensors file. PyTorch pickles can run code, so they are not loaded; convert the model to safetensors`
  throw new CheckpointError(folder, reason)
}
