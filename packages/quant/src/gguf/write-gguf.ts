import path from 'node:path'
import { CheckpointError, UnsupportedModelError } from '@octavo/core'
import {
  checkAllRead,
  ggufArchitectureOf,
  isDense,
  WeightView,
  type Checkpoint,
  type GgufArchitecture,
  type WeightFormat,
} from '@octavo/core/loading'
import { type ModelConfig, resolvePooling } from '@octavo/core/model'
import { refuseExisting } from '../checkpoint/refuse-existing.ts'
import { ExpandedSource } from '../convert/expanded-source.ts'
import { openSource } from '../convert/open-source.ts'
import { GgufFile, tensorBytes } from './gguf-file.ts'
import { fileTypeOf, ggufFileTypes, type GgufFileType } from './gguf-file-type.ts'
import { modelMetadata } from './gguf-model-metadata.ts'
import { ggufLayout, planTensors, type PlannedTensor } from './gguf-plan.ts'
import { tokenizerMetadata } from './gguf-tokenizer-metadata.ts'
import { text, uint32, type GgufValue } from './gguf-value.ts'
import { QuantizePool } from './quantize-pool.ts'
import { readPlannedRows, type PlannedRows } from './read-planned-rows.ts'

export interface WriteGgufOptions {
  /** 'exact': each tensor in a type that has its values, a quantized one too. Default: Q4_K_M. */
  readonly type?: GgufFileType | 'exact'
  /** `general.name`; default: the source's own. */
  readonly name?: string
  /** `[cols]` of a matrix, by the module's name in the checkpoint: how much an error in each column counts. */
  readonly importance?: (module: string) => Float32Array | null
  readonly onProgress?: (writtenBytes: number, totalBytes: number) => void
}

export interface WrittenGguf {
  readonly path: string
  readonly sizeInBytes: number
  /** Tensors by format. */
  readonly formats: Readonly<Record<string, number>>
  /** Where llama.cpp computes otherwise than the checkpoint says. */
  readonly notes: readonly string[]
}

/**
 * Writes a checkpoint (a folder, or another GGUF file) as one GGUF file, tensor by tensor: a few chunks of rows are in memory at
 * a time. The file is there once it is whole.
 * @throws QuantizationError for a target that is there, and a quantized module whose values no type has, where `type` is 'exact'
 * @throws UnsupportedModelError for an architecture or feature that GGUF can't say
 * @throws TokenizerError for a tokenizer that it can't
 * @throws CheckpointError for tensors that are missing or wrong, and where the file can't be written
 */
export async function writeGguf(source: string, target: string, options: WriteGgufOptions = {}): Promise<WrittenGguf> {
  const { type = 'Q4_K_M' } = options
  refuseExisting(target)
  const opened = await openSource(source)
  const { checkpoint, config } = opened
  const architecture = ggufArchitectureOf(config.modelType)
  try {
    if (architecture === null)
      throw new UnsupportedModelError(
        `${checkpoint.path}: models of the type "${config.modelType}" can't be written to GGUF: Octavo does not know llama.cpp's names for it.`,
      )
    const weights =
      opened.scheme === null ? opened.source : new ExpandedSource(opened, type === 'exact' ? 'blocks' : 'float32')
    const view = new WeightView(weights, ggufLayout(weights, architecture, config))
    const planned = planTensors(view, {
      config,
      architecture,
      fileType: type,
      hasImportance: options.importance !== undefined,
    })
    const { entries, tensors: computed, notes } = describe(checkpoint, { config, architecture, type, options, planned })
    const tensors = [...computed.map(asPlanned), ...planned]
    for (const { parts } of planned)
      for (const { name } of parts) view.read(name, new Uint8Array(0), { start: 0, end: 0 })
    checkAllRead(weights, view, [])
    await writeTensors(target, entries, { view, tensors, options })
    return {
      path: target,
      sizeInBytes: tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0),
      formats: countFormats(tensors),
      notes,
    }
  } finally {
    opened.source.close()
  }
}

interface Described {
  readonly config: ModelConfig
  readonly architecture: GgufArchitecture
  readonly type: GgufFileType | 'exact'
  readonly options: WriteGgufOptions
  readonly planned: readonly PlannedTensor[]
}

function describe(
  checkpoint: Checkpoint,
  { config, architecture, type, options, planned }: Described,
): ReturnType<typeof modelMetadata> {
  const model = modelMetadata(config, architecture, resolvePooling(checkpoint, config))
  const embedding = planned.find(({ name }) => name === 'token_embd.weight')
  const generation = checkpoint.generationConfig?.['eos_token_id']
  const eos = [config.eosTokenIds, generation].flat().filter((id) => typeof id === 'number')
  const fileType = type === 'exact' ? fileTypeOf(mostFrequent(planned)) : type
  const { number, format } = ggufFileTypes[fileType]
  const general = new Map<string, GgufValue>([
    ['general.name', text(options.name ?? path.basename(checkpoint.path, '.gguf'))],
    ['general.file_type', uint32(number)],
    ...(isDense(format) ? [] : [['general.quantization_version', uint32(2)] as const]),
  ])
  const tokenizer = tokenizerMetadata({
    ...checkpoint.readTokenizer(),
    vocabSize: embedding?.shape[0] ?? config.vocabSize,
    eosTokenIds: [...new Set(eos)],
    file: checkpoint.path,
  })
  return { ...model, entries: new Map([...model.entries, ...general, ...tokenizer]) }
}

/** Of matrices. */
function mostFrequent(planned: readonly PlannedTensor[]): WeightFormat {
  const counts = countFormats(planned.filter(({ shape }) => shape.length > 1))
  const [first] = Object.entries(counts).sort(([, a], [, b]) => b - a)
  return (first?.[0] ?? 'float32') as WeightFormat // a key of countFormats
}

function asPlanned({ name, values }: { name: string; values: Float32Array }): PlannedTensor {
  return { name, shape: [values.length], format: 'float32', parts: [], values, headDim: null, shift: 0 }
}

interface Writing {
  readonly view: WeightView
  readonly tensors: readonly PlannedTensor[]
  readonly options: WriteGgufOptions
}

/** Rows are read here, quantized by threads, and written here in their order. */
async function writeTensors(
  target: string,
  entries: ReadonlyMap<string, GgufValue>,
  { view, tensors, options }: Writing,
): Promise<void> {
  const total = tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0)
  using file = new GgufFile(target, entries, tensors)
  using pool = new QuantizePool()
  const inFlight: Promise<Uint8Array>[] = []
  let written = 0
  const writeNext = async (): Promise<void> => {
    const bytes = await inFlight.shift()!
    file.append(bytes)
    written += bytes.length
    options.onProgress?.(written, total)
  }
  for (const tensor of tensors) {
    const importance = importanceOf(tensor, options, view.file)
    for (const rows of readPlannedRows(view, tensor)) {
      const job = encode(rows, { tensor, importance, pool, file: view.file })
      // Awaited in order; what fails meanwhile is not unhandled.
      job.catch(() => {})
      inFlight.push(job)
      while (inFlight.length > pool.size) await writeNext()
    }
  }
  while (inFlight.length > 0) await writeNext()
  file.finish()
}

interface Encoding {
  readonly tensor: PlannedTensor
  readonly importance: Float32Array | null
  readonly pool: QuantizePool
  readonly file: string
}

async function encode(rows: PlannedRows, { tensor, importance, pool, file }: Encoding): Promise<Uint8Array> {
  if ('bytes' in rows) return rows.bytes
  const { values } = rows
  const { format, name, shape } = tensor
  const wrong = values.findIndex((value) => !Number.isFinite(value))
  if (wrong >= 0)
    throw new CheckpointError(file, `has the value ${values[wrong]}, which can't be quantized`, { tensor: name })
  if (format === 'float32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  if (format === 'float16') checkFloat16(values, { file, name })
  return pool.quantize({ values: values as Float32Array<ArrayBuffer>, format, cols: shape.at(-1)!, importance })
}

function checkFloat16(values: Float32Array, { file, name }: { file: string; name: string }): void {
  const tooLarge = values.find((value) => Math.abs(value) >= 65520)
  if (tooLarge !== undefined)
    throw new CheckpointError(file, `the value ${tooLarge} exceeds float16's largest, 65504; write BF16 or F32`, {
      tensor: name,
    })
}

function importanceOf(tensor: PlannedTensor, { importance }: WriteGgufOptions, file: string): Float32Array | null {
  const [part] = tensor.parts
  if (importance === undefined || part === undefined || isDense(tensor.format)) return null
  const weights = importance(part.name.slice(0, part.name.lastIndexOf('.')))
  const cols = tensor.shape.at(-1)!
  if (weights !== null && (weights.length !== cols || !weights.every((weight) => weight >= 0 && weight < Infinity)))
    throw new CheckpointError(file, `its importance must be ${cols} numbers of 0 or more, found ${weights.length}`, {
      tensor: part.name,
    })
  return weights
}

function countFormats(tensors: readonly PlannedTensor[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { format } of tensors) counts[format] = (counts[format] ?? 0) + 1
  return counts
}
