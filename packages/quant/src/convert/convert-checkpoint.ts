import { existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert } from '@octavo/core/backend'
import { checkAllRead, isDense, requireWeight, tryWeight, weightCols, weightRows } from '@octavo/core/loading'
import type { RawTensor, WeightInfo } from '@octavo/core/loading'
import { QuantizationError } from '@octavo/core/quantization'
import type { GroupedSpec, GroupedTensors, GroupedWeight } from '@octavo/core/quantization'
import { copyOtherFiles } from '../checkpoint/copy-files.ts'
import { onDisk } from '../checkpoint/disk-errors.ts'
import { refuseExisting } from '../checkpoint/refuse-existing.ts'
import { tensorOf, type OutputTensor } from '../checkpoint/safetensors-file.ts'
import { ShardWriter } from '../checkpoint/shard-writer.ts'
import type { CheckpointFormat, SavedModule } from '../formats/checkpoint-format.ts'
import { resolveFormat } from '../formats/registry.ts'
import { sharedRowsOf } from '../formats/shared-rows.ts'
import { floatsOf } from './expanded-source.ts'
import { withFloat16Scales } from './fit-weight.ts'
import { blockFormatOf, blocksToGrouped, isSymmetricBlock, refuseBlocks } from './grouped-blocks.ts'
import { readFinite } from './read-finite.ts'
import { isBesideWeight, listModules, openSource, roleOf, type OpenedSource } from './open-source.ts'
import { writeTokenizerFiles } from './write-tokenizer-files.ts'

export interface ConvertOptions {
  /** A layout of `save`, or 'safetensors': floats, the quantized ones as float32, in which they are exact. */
  readonly to: string
  /** Default: 2 GiB. */
  readonly maxShardBytes?: number
  readonly onProgress?: (numModules: number, totalModules: number) => void
}

export interface Converted {
  readonly path: string
  readonly weightBytes: number
  readonly numQuantized: number
}

const layoutsOfFloat16 = new Set(['awq', 'gptq', 'gptq_v2'])

/**
 * Writes a checkpoint, quantized or not, in another layout of safetensors; every value stays what it was. The folder is there
 * once it is whole.
 * @throws QuantizationError naming the module and what of it the layout does not have
 */
export async function convertCheckpoint(source: string, target: string, options: ConvertOptions): Promise<Converted> {
  const format = options.to === 'safetensors' ? null : resolveFormat(options.to)
  refuseExisting(target)
  const opened = await openSource(source)
  const folder = `${target}.${process.pid}.part`
  try {
    if (format !== null) refuseRoundedInputs(opened)
    const modules = listModules(opened)
    const saved = [...modules].flatMap(([name, tensors]) => savedModule({ name, tensors }, opened, format) ?? [])
    if (format !== null) {
      if (saved.every(({ weight }) => weight === null))
        throw new QuantizationError(`${opened.checkpoint.path} has no quantized weights; quantize it (octavo quantize)`)
      for (const module of saved) format.check(module)
    }
    onDisk(folder, () => mkdirSync(folder, { recursive: true }))
    const weightBytes = writeTensors(opened, { modules, saved, format, folder, options })
    writeOtherFiles(opened, { saved, format, folder })
    renameSync(folder, target)
    const numQuantized = format === null ? 0 : saved.filter(({ weight }) => weight !== null).length
    return { path: target, weightBytes, numQuantized }
  } finally {
    opened.source.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The layouts say it in their own ways, and what reads them does other arithmetic. */
function refuseRoundedInputs({ checkpoint: { quantization } }: OpenedSource): void {
  const groups = quantization?.json['config_groups']
  if (typeof groups !== 'object' || groups === null) return
  for (const [name, group] of Object.entries(groups as Record<string, { input_activations?: unknown }>))
    if (group.input_activations != null)
      throw new QuantizationError(
        `${quantization!.file}: ${name} rounds the inputs of its modules too (input_activations), which is not converted; quantize the original checkpoint`,
      )
}

/** `null` for what is no linear layer. */
function savedModule(
  { name, tensors }: { readonly name: string; readonly tensors: GroupedTensors | null },
  { view, design }: OpenedSource,
  format: CheckpointFormat | null,
): SavedModule | null {
  const role = roleOf(name, design)
  const saved = { name, role, inputActivations: null, sharedRows: 1 }
  if (tensors !== null) {
    // Only FP8 has scales that rows share, and only the scales tell.
    const sharedRows = tensors.format.codebook === 'e4m3' ? sharedRowsOf(readFinite(tensors)) : 1
    return { ...saved, weight: fitSpec(tensors, format), sharedRows }
  }
  const info = view.get(`${name}.weight`)
  if (info === null || info.shape.length !== 2) return null
  if (isDense(info.format)) return { ...saved, weight: null }
  const [rows, cols] = [weightRows(info), weightCols(info)]
  // GGUF files have these in blocks of their own, and as floats they are in every layout.
  const isWidened = role === 'embedding' || role === 'head'
  if (isWidened && (format?.name !== 'compressed-tensors' || !isSymmetricBlock(info.format)))
    return { ...saved, weight: null }
  if (isSymmetricBlock(info.format)) return { ...saved, weight: { format: blockFormatOf(info.format), rows, cols } }
  return format === null ? { ...saved, weight: null } : refuseBlocks(info.format, name)
}

/** As it will be written: the layouts of float16 scales take others that are float16s. */
function fitSpec({ format, rows, cols }: GroupedSpec, target: CheckpointFormat | null): GroupedSpec {
  const isNarrowed = target !== null && layoutsOfFloat16.has(target.name)
  return { format: isNarrowed ? { ...format, scaleDtype: 'float16' } : format, rows, cols }
}

interface Writing {
  readonly modules: ReadonlyMap<string, GroupedTensors | null>
  readonly saved: readonly SavedModule[]
  readonly format: CheckpointFormat | null
  readonly folder: string
  readonly options: ConvertOptions
}

function writeTensors(opened: OpenedSource, { modules, saved, format, folder, options }: Writing): number {
  const { view } = opened
  const writer = new ShardWriter({ folder, maxShardBytes: options.maxShardBytes ?? 2 * 1024 ** 3 })
  const savedOf = new Map(saved.map((module) => [module.name, module]))
  let done = 0
  for (const [name, tensors] of modules) {
    const module = savedOf.get(name)
    const weight = module?.weight == null ? null : readModule(opened, name, tensors)
    if (module !== undefined && weight !== null)
      for (const output of outputsOf(weight, { module, format, prefix: view.storedModule(name) })) writer.add(output)
    options.onProgress?.(++done, modules.size)
  }
  for (const name of view.names()) {
    const module = name.slice(0, Math.max(0, name.lastIndexOf('.')))
    if (savedOf.get(module)?.weight == null || isBesideWeight(name)) writer.add(floatTensor(opened, name))
    else view.discard(name)
  }
  writer.finish()
  checkAllRead(opened.source, view, opened.design.unused)
  return writer.totalBytes
}

function readModule({ view }: OpenedSource, name: string, tensors: GroupedTensors | null): GroupedWeight {
  if (tensors !== null) return readFinite(tensors)
  const info = requireWeight(view, `${name}.weight`)
  assert(isSymmetricBlock(info.format), `${name} is ${info.format}`)
  const bytes = new Uint8Array(info.sizeInBytes)
  view.read(info.name, bytes)
  return blocksToGrouped({ format: info.format, rows: weightRows(info), cols: weightCols(info), bytes })
}

function outputsOf(
  weight: GroupedWeight,
  { module, format, prefix }: { module: SavedModule; format: CheckpointFormat | null; prefix: string },
): OutputTensor[] {
  if (format === null) {
    const shape = [weight.rows, weight.cols]
    return [tensorOf({ name: `${prefix}.weight`, dtype: 'float32', shape, bytes: floatsOf(weight) })]
  }
  const fitted = layoutsOfFloat16.has(format.name) ? withFloat16Scales(weight, module.name) : weight
  return format
    .encode(fitted, module)
    .map(({ suffix, ...tensor }) => tensorOf({ ...tensor, name: `${prefix}.${suffix}` }))
}

/** What is no quantized module, as it is; GGUF's blocks as float32. */
function floatTensor({ view, design }: OpenedSource, name: string): OutputTensor {
  const module = name.slice(0, Math.max(0, name.lastIndexOf('.')))
  const stored = module === '' ? name : view.storedModule(module) + name.slice(module.length)
  const info = tryWeight(view, name)
  if (info === null) return copyOf(stored, view.raw(name)!)
  // Hugging Face has it the other way round.
  const isTurned = info.orientation === 'out-in' && design.inOut?.test(name) === true
  if (isDense(info.format) && !isTurned) {
    const { format: dtype, shape, sizeInBytes } = info
    const write = (take: (bytes: Uint8Array) => void): void => take(readAll(view, info))
    return { name: stored, dtype, shape, sizeInBytes, write }
  }
  const shape = isTurned ? info.shape.toReversed() : info.shape
  const sizeInBytes = shape.reduce((product, size) => product * size, 4)
  const write = (take: (bytes: Uint8Array) => void): void => {
    const values = view.readFloat32(name)
    const turned = isTurned ? transpose(values, weightCols(info)) : values
    take(new Uint8Array(turned.buffer))
  }
  return { name: stored, dtype: 'float32', shape, sizeInBytes, write }
}

/** A buffer that nothing computes with. */
function copyOf(name: string, { dtype, shape, sizeInBytes, read }: RawTensor): OutputTensor {
  const write = (take: (bytes: Uint8Array) => void): void => {
    const bytes = new Uint8Array(sizeInBytes)
    read(bytes)
    take(bytes)
  }
  return { name, dtype, shape, sizeInBytes, write }
}

function readAll(view: OpenedSource['view'], info: WeightInfo): Uint8Array {
  const bytes = new Uint8Array(info.sizeInBytes)
  view.read(info.name, bytes)
  return bytes
}

function transpose(values: Float32Array, cols: number): Float32Array {
  const rows = values.length / cols
  const out = new Float32Array(values.length)
  for (let row = 0; row < rows; row++)
    for (let col = 0; col < cols; col++) out[col * rows + row] = values[row * cols + col]!
  return out
}

function writeOtherFiles(
  { checkpoint }: OpenedSource,
  { saved, format, folder }: Pick<Writing, 'saved' | 'format' | 'folder'>,
): void {
  const { quantization_config: _, compression_config: __, ...config } = checkpoint.config
  // The scales themselves are tensors, which stay as they are.
  const cache = format?.hasCacheScales === true ? checkpoint.quantization?.json['kv_cache_scheme'] : null
  const section =
    format === null
      ? {}
      : { quantization_config: { ...format.section(saved, null), ...(cache != null && { kv_cache_scheme: cache }) } }
  onDisk(folder, () =>
    writeFileSync(join(folder, 'config.json'), `${JSON.stringify({ ...config, ...section }, null, 2)}\n`),
  )
  if (statSync(checkpoint.path).isDirectory() && existsSync(join(checkpoint.path, 'config.json')))
    copyOtherFiles(checkpoint.path, folder)
  else writeTokenizerFiles(checkpoint, folder)
}
