import { join } from 'node:path'
import { CheckpointError } from '../errors.ts'
import { isJsonObject, type JsonObject } from '../util/json-object.ts'
import { readJsonFile } from './json-file.ts'

export const safetensorsIndexName = 'model.safetensors.index.json'

const maxIndexBytes = 64 * 1024 * 1024
const maxShards = 10_000

/** Which file of a folder holds which tensor. */
export interface SafetensorsIndex {
  readonly file: string
  /** Tensor → shard, a plain file name. */
  readonly shardOf: ReadonlyMap<string, string>
}

/** `null` where the folder has no index. Throws CheckpointError where it names anything but plain `.safetensors` files. */
export function readSafetensorsIndex(folder: string): SafetensorsIndex | null {
  const file = join(folder, safetensorsIndexName)
  const index = readJsonFile(file, maxIndexBytes)
  return index === null ? null : { file, shardOf: parseShards(index, file) }
}

/** Mistral's own format lies beside the HF one as consolidated.safetensors, with the same weights under other names. */
export function isSafetensorsFile(name: string): boolean {
  return name.endsWith('.safetensors') && !name.startsWith('consolidated')
}

/** PyTorch's pickles can run code: they are named in messages, never loaded. */
export function isPickle(name: string): boolean {
  return /\.(bin|pt|pth)$/.test(name)
}

function parseShards(index: JsonObject, file: string): Map<string, string> {
  const weightMap = index['weight_map']
  if (!isJsonObject(weightMap))
    throw new CheckpointError(file, '"weight_map" must be an object of tensor names and shard files')
  const shardOf = new Map<string, string>()
  for (const [name, shard] of Object.entries(weightMap)) {
    if (typeof shard !== 'string' || !/^[\w][\w.+-]*\.safetensors$/.test(shard)) {
      throw new CheckpointError(
        file,
        `the shard ${JSON.stringify(shard)} is not a plain .safetensors file name in this folder`,
        { tensor: name },
      )
    }
    shardOf.set(name, shard)
  }
  const numShards = new Set(shardOf.values()).size
  if (numShards === 0 || numShards > maxShards)
    throw new CheckpointError(file, `names ${numShards} shards; 1 to ${maxShards} are allowed`)
  return shardOf
}
