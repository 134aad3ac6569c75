import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { assert } from '@octavo/core/backend'
import { encodeRow, rowBytes } from '@octavo/core/loading'
import type { DType, RawTensor, WeightInfo } from '@octavo/core/loading'
import type { CheckpointFormat, SavedModule } from '../formats/checkpoint-format.ts'
import { noChanges } from '../model/checkpoint-layer.ts'
import type { LayerChanges } from '../model/checkpoint-layer.ts'
import type { OpenedDecoder } from '../model/open-decoder.ts'
import type { KvCacheScheme } from '../weight-scheme.ts'
import { cacheScaleTensors } from './cache-scale-tensors.ts'
import { copyOtherFiles } from './copy-files.ts'
import { onDisk } from './disk-errors.ts'
import { tensorOf } from './safetensors-file.ts'
import type { OutputTensor } from './safetensors-file.ts'
import { ShardWriter } from './shard-writer.ts'

export interface WriteCheckpointOptions {
  readonly model: OpenedDecoder
  readonly folder: string
  readonly format: CheckpointFormat
  /** All modules of the model. */
  readonly modules: readonly SavedModule[]
  /** Of which all decoder layers have scales; `null`: none has. */
  readonly cacheScheme: KvCacheScheme | null
  /** What was made of the layers, in their order: each is asked for once. */
  readonly layers: readonly { readonly prefix: string; changes(): LayerChanges }[]
  readonly maxShardBytes: number
  readonly onProgress: (share: number) => void
  readonly signal: AbortSignal | null
}

const chunkBytes = 8 * 1024 * 1024

/** Writes all files of the quantized model into an empty folder; returns the bytes of its tensors. */
export async function writeCheckpoint(options: WriteCheckpointOptions): Promise<number> {
  const { model, folder, format, modules, cacheScheme, maxShardBytes, onProgress, signal } = options
  const writer = new ShardWriter({ folder, maxShardBytes })
  const groups = groupTensors(options)
  const savedModules = new Map(modules.map((module) => [module.name, module]))
  let done = 0
  for (const { prefix, stored, changes } of groups) {
    const context = { model, format, changes: changes(), savedModules }
    const added = prefix === null ? [] : cacheScaleTensors(model, prefix, context.changes.cacheScales)
    // A checkpoint of floats may have scales too.
    const replaced = new Set(added.map(({ name }) => name))
    for (const tensor of stored)
      if (!replaced.has(tensor.name)) for (const output of outputsOf(tensor, context)) writer.add(output)
    for (const output of added) writer.add(output)
    onProgress((done += stored.length) / model.source.names().length)
    signal?.throwIfAborted()
    await new Promise(setImmediate)
  }
  writer.finish()
  const isQuantized = cacheScheme !== null || modules.some(({ weight }) => weight !== null)
  const config = {
    ...model.checkpoint.config,
    ...(isQuantized && { quantization_config: format.section(modules, cacheScheme) }),
  }
  onDisk(folder, () => writeFileSync(join(folder, 'config.json'), `${JSON.stringify(config, null, 2)}\n`))
  copyOtherFiles(model.checkpoint.path, folder)
  return writer.totalBytes
}

/** A stored tensor, and what of the model's own names is in it: itself, or the matrices of a stack. */
interface StoredTensor {
  readonly name: string
  readonly parts: readonly { readonly name: string; readonly index: number | null }[]
}

interface TensorGroup {
  /** Of its layer; `null`: of no layer that was worked on. */
  readonly prefix: string | null
  readonly stored: readonly StoredTensor[]
  changes(): LayerChanges
}

/** Tensors by layer, so that what was made of one is in memory while its tensors are written. */
function groupTensors({ model, layers }: WriteCheckpointOptions): TensorGroup[] {
  const { source, view } = model
  const parts = new Map<string, { name: string; index: number | null }[]>(source.names().map((name) => [name, []]))
  for (const name of view.names()) {
    const place = view.placeOf(name)
    assert(place !== null, `${name} is in the view`)
    parts.get(place.stored)!.push({ name, index: place.index })
  }
  const groups = layers.map(({ prefix, changes }) => ({ prefix, changes, stored: [] as StoredTensor[] }))
  const others: StoredTensor[] = []
  const byPrefix = new Map(groups.map((group) => [group.prefix, group]))
  for (const [name, tensorParts] of parts) {
    const tensor = { name, parts: tensorParts }
    const prefix = tensorParts[0] && prefixesOf(tensorParts[0].name).find((candidate) => byPrefix.has(candidate))
    const group = prefix === undefined ? undefined : byPrefix.get(prefix)
    ;(group?.stored ?? others).push(tensor)
  }
  return [{ prefix: null, stored: others, changes: () => noChanges }, ...groups]
}

/** `a.b.c` → `a.b`, `a`. */
function prefixesOf(name: string): string[] {
  const names = name.split('.')
  return names.slice(0, -1).map((_, i) => names.slice(0, names.length - 1 - i).join('.'))
}

interface OutputContext {
  readonly model: OpenedDecoder
  readonly format: CheckpointFormat
  readonly changes: LayerChanges
  readonly savedModules: ReadonlyMap<string, SavedModule>
}

function outputsOf(tensor: StoredTensor, context: OutputContext): OutputTensor[] {
  const { model, changes } = context
  const [first] = tensor.parts
  if (first === undefined || !tensor.parts.some(({ name }) => isChangedTensor(name, changes)))
    return [copyOf(tensor.name, requireRaw(model, tensor.name))]
  if (first.index === null) return partOutputs(tensor.name, first.name, context)
  const isQuantized = tensor.parts.some(({ name }) => quantizedOf(name, changes) !== null)
  // Codes are no slices of one tensor: each expert becomes a module of its own, as the layers name them.
  if (isQuantized) return tensor.parts.flatMap(({ name }) => partOutputs(expertName(tensor.name, name), name, context))
  return [stackOf(tensor, context)]
}

function isChangedTensor(name: string, { modules, vectors }: LayerChanges): boolean {
  const { values = null, quantized = null } = modules.get(weightModule(name) ?? '') ?? {}
  return values !== null || quantized !== null || vectors.has(name)
}

function quantizedOf(name: string, { modules }: LayerChanges): LayerChangesQuantized {
  return modules.get(weightModule(name) ?? '')?.quantized ?? null
}

type LayerChangesQuantized = NonNullable<ReturnType<LayerChanges['modules']['get']>>['quantized']

/** Of one tensor, whole or of a stack, `name` among the model's own, `stored` in the file. */
function partOutputs(
  stored: string,
  name: string,
  { model, format, changes, savedModules }: OutputContext,
): OutputTensor[] {
  const module = weightModule(name)
  const quantized = quantizedOf(name, changes)
  if (quantized === null || module === null) return [floatsOf(stored, name, { model, changes })]
  const prefix = stored.slice(0, stored.length - '.weight'.length)
  const saved = savedModules.get(module)
  assert(saved !== undefined, `${module} is one of the modules`)
  return format
    .encode(quantized, saved)
    .map(({ suffix, ...tensor }) => tensorOf({ ...tensor, name: `${prefix}.${suffix}` }))
}

/** In the checkpoint's dtype and orientation; unchanged ones of a stack too. */
function floatsOf(
  stored: string,
  name: string,
  { model, changes }: Pick<OutputContext, 'model' | 'changes'>,
): OutputTensor {
  const info = model.view.get(name)
  assert(info !== null, `${name} is in the view`)
  return tensorOf({ name: stored, dtype: info.format, shape: info.shape, bytes: storedBytes(info, { model, changes }) })
}

function stackOf({ name, parts }: StoredTensor, context: OutputContext): OutputTensor {
  const { dtype, shape, sizeInBytes } = requireRaw(context.model, name)
  return {
    name,
    dtype,
    shape,
    sizeInBytes,
    write(take) {
      for (const part of parts) {
        const info = context.model.view.get(part.name)
        assert(info !== null, `${part.name} is in the view`)
        take(storedBytes(info, context))
      }
    },
  }
}

function storedBytes(info: WeightInfo, { model, changes }: Pick<OutputContext, 'model' | 'changes'>): Uint8Array {
  const values = changes.modules.get(weightModule(info.name) ?? '')?.values ?? changes.vectors.get(info.name) ?? null
  if (values === null) {
    const bytes = new Uint8Array(info.sizeInBytes)
    model.view.read(info.name, bytes)
    return bytes
  }
  const isInOut = info.orientation === 'in-out'
  const dtype = info.format as DType // modules whose values changed are dense
  const bytes = new Uint8Array(rowBytes(dtype, values.length))
  encodeRow(dtype, isInOut ? transpose(values, info.shape) : values, bytes, 0)
  return bytes
}

/** `[out, in]` → `[in, out]` of this shape. */
function transpose(values: Float32Array, shape: readonly number[]): Float32Array {
  const [rows, cols] = [shape[0]!, shape[1]!]
  const out = new Float32Array(values.length)
  for (let row = 0; row < rows; row++)
    for (let col = 0; col < cols; col++) out[row * cols + col] = values[col * rows + row]!
  return out
}

/** `a.experts.gate_up_proj` and `….experts.3.gate_up_proj.weight` → `a.experts.3.gate_up_proj.weight`. */
function expertName(stored: string, name: string): string {
  const at = (text: string): number => text.lastIndexOf('.experts.')
  return stored.slice(0, at(stored)) + name.slice(at(name))
}

function weightModule(name: string): string | null {
  return name.endsWith('.weight') ? name.slice(0, -'.weight'.length) : null
}

function requireRaw({ source }: OpenedDecoder, name: string): RawTensor {
  const tensor = source.raw(name)
  assert(tensor !== null, `${name} is in the checkpoint`)
  return tensor
}

function copyOf(name: string, tensor: RawTensor): OutputTensor {
  const { dtype, shape, sizeInBytes } = tensor
  return {
    name,
    dtype,
    shape,
    sizeInBytes,
    write(take) {
      const bytes = new Uint8Array(Math.min(chunkBytes, sizeInBytes))
      for (let done = 0; done < sizeInBytes; done += chunkBytes) {
        const part = bytes.subarray(0, Math.min(chunkBytes, sizeInBytes - done))
        tensor.read(part, done)
        take(part)
      }
    },
  }
}
