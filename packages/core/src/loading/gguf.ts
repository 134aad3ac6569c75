import { CheckpointError } from '../errors.ts'
import { ggufArchitecture, type GgufArchitecture } from './gguf-architecture.ts'
import { loadableGgmlTypes, readGgufHeader, type GgufMetadata, type GgufTensor } from './gguf-header.ts'
import { GgufWeights, mapGgufWeights } from './gguf-weight-map.ts'
import { isRawBlock } from './raw-tensor.ts'
import { StoredWeights, type StoredTensor, type UnreadableTensor } from './stored-weights.ts'
import { TensorFile } from './tensor-file.ts'
import type { WeightSource } from './weight-source.ts'

export type { GgufMetadata } from './gguf-header.ts'

export interface GgufModel {
  readonly file: string
  readonly architecture: GgufArchitecture
  readonly metadata: GgufMetadata
  /** Whether some are blocks that the kernels have no format for. */
  readonly hasBlocksToConvert: boolean
  /** Under GGUF's names, as stored. */
  readonly stored: WeightSource
  /** Under Hugging Face's names, with its conventions. Closing it closes `stored`. */
  readonly weights: WeightSource
  /**
   * Another `weights` on files of its own, without parsing the headers once more.
   * Throws CheckpointError where a file has another size than before.
   */
  reopen(): WeightSource
}

/** What `readGgufHeader` finds, with the tensors readable under their GGUF names; works for every architecture. */
export interface GgufFile {
  readonly metadata: GgufMetadata
  readonly tensors: readonly GgufTensor[]
  readonly stored: WeightSource
  /** Another `stored`, as `GgufModel.reopen`. */
  reopen(): WeightSource
}

/**
 * Opens a GGUF model: reads its header (or the headers of all parts of a split one) and maps its tensors.
 * Throws CheckpointError for a malformed file, UnsupportedModelError for an unknown architecture.
 */
export function openGguf(path: string): GgufModel {
  const { metadata, tensors, stored, reopen } = openGgufFile(path)
  try {
    const architecture = ggufArchitecture(metadata, path)
    const views = mapGgufWeights(tensors, architecture, { metadata, file: path })
    const weights = new GgufWeights(stored, views)
    const hasBlocksToConvert = tensors.some(({ dtype }) => isRawBlock(dtype))
    return {
      file: path,
      architecture,
      metadata,
      hasBlocksToConvert,
      stored,
      weights,
      reopen: () => new GgufWeights(reopen(), views),
    }
  } catch (error) {
    stored.close()
    throw error
  }
}

export function openGgufFile(path: string): GgufFile {
  const files = new Map<string, TensorFile>()
  const stored = new Map<string, StoredTensor | UnreadableTensor>()
  const tensors: GgufTensor[] = []
  try {
    const first = openPart(path, files)
    const { metadata } = first
    const parts = [first, ...otherParts(path, metadata).map((part) => openPart(part, files))]
    for (const part of parts) {
      for (const tensor of part.tensors) {
        if (stored.has(tensor.name))
          throw new CheckpointError(part.file, 'is also in another part of this split model', { tensor: tensor.name })
        stored.set(tensor.name, toStored(tensor, part.file))
        tensors.push(tensor)
      }
    }
    const reopen = (): WeightSource => new StoredWeights(path, stored, reopenFiles(files))
    return { metadata, tensors, stored: new StoredWeights(path, stored, files), reopen }
  } catch (error) {
    for (const file of files.values()) file.close()
    throw error
  }
}

function reopenFiles(before: ReadonlyMap<string, TensorFile>): Map<string, TensorFile> {
  const files = new Map<string, TensorFile>()
  try {
    for (const [path, { sizeInBytes }] of before) {
      const file = new TensorFile(path)
      files.set(path, file)
      if (file.sizeInBytes === sizeInBytes) continue
      throw new CheckpointError(path, `had ${sizeInBytes} bytes and has ${file.sizeInBytes} now; load it again`)
    }
    return files
  } catch (error) {
    for (const file of files.values()) file.close()
    throw error
  }
}

function openPart(
  path: string,
  files: Map<string, TensorFile>,
): { file: string; metadata: GgufMetadata; tensors: readonly GgufTensor[] } {
  const file = new TensorFile(path)
  files.set(path, file)
  return { file: path, ...readGgufHeader(file) }
}

/** gguf-split names parts `<name>-00001-of-00003.gguf`; the first one has the metadata. */
function otherParts(path: string, metadata: GgufMetadata): string[] {
  const count = metadata['split.count']
  if (typeof count !== 'number' || count <= 1) return []
  const match = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/.exec(path)
  if (match === null || Number(match[3]) !== count) {
    throw new CheckpointError(
      path,
      `is part of a model in ${count} files, but is not named like one (name-00001-of-${String(count).padStart(5, '0')}.gguf)`,
    )
  }
  if (Number(match[2]) !== 1)
    throw new CheckpointError(path, `is part ${Number(match[2])} of ${count}; pass the first part`)
  return Array.from(
    { length: count - 1 },
    (_, i) => `${match[1]}-${String(i + 2).padStart(5, '0')}-of-${match[3]}.gguf`,
  )
}

function toStored(tensor: GgufTensor, file: string): StoredTensor | UnreadableTensor {
  const { name, type, format, dtype, shape, sizeInBytes, position } = tensor
  if (format !== null) return { info: { name, file, shape, format, sizeInBytes }, position }
  if (dtype === 'q2_k') {
    const expanded = shape.reduce((product, size) => product * size, 1) * 4
    return { info: { name, file, shape, format: 'float32', sizeInBytes: expanded }, position, isQ2K: true }
  }
  const reason = isRawBlock(dtype)
    ? `its type ${type} is read as a matrix of a model only`
    : `its type is ${type}, and only ${loadableGgmlTypes.join(', ')} can be loaded`
  return { name, file, reason, raw: { dtype, shape, sizeInBytes, position } }
}
