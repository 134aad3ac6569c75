import { existsSync } from 'node:fs'
import { openSafetensors } from '@octavo/core/loading'
import type { RawDType, WeightSource } from '@octavo/core/loading'
import { CheckpointError } from '@octavo/core/backend'
import type { GroupedFormat } from '@octavo/core/quantization'
import { tensorOf, writeSafetensorsFile } from '../checkpoint/safetensors-file.ts'
import type { OutputTensor } from '../checkpoint/safetensors-file.ts'
import type { SavedModule, SharedRows } from '../formats/checkpoint-format.ts'
import type { ModuleChange } from '../model/layer-module.ts'
import type { LayerChanges } from '../model/checkpoint-layer.ts'
import type { ActivationScheme, KvCacheScheme } from '../weight-scheme.ts'

/** What a run keeps of a finished layer. */
export interface LayerRecord {
  /** All modules of the layer, changed or not. */
  readonly modules: readonly SavedModule[]
  readonly changes: LayerChanges
}

interface ModuleEntry {
  readonly name: string
  readonly role: SavedModule['role']
  readonly rows: number
  readonly cols: number
  /** Of `planes`; `null`: not quantized. */
  readonly format: GroupedFormat | null
  readonly hasValues: boolean
  readonly inputActivations: ActivationScheme | null
  readonly sharedRows: SharedRows
}

interface RecordJson {
  readonly modules: readonly ModuleEntry[]
  readonly vectors: readonly string[]
  /** `null`: the layer has no scales of keys and values. */
  readonly cacheScheme: KvCacheScheme | null
}

const describing = 'record'
const cacheKeys = 'cache.keys'
const cacheValues = 'cache.values'

/** Writes the record to `path`, down to the disk: whoever renames it afterwards has all of it or nothing. */
export function writeLayerRecord(path: string, { modules, changes }: LayerRecord, shapes: ModuleShapes): void {
  const tensors: OutputTensor[] = []
  const entries = modules.map(({ name, role, weight, ...others }): ModuleEntry => {
    const { values = null, quantized = null } = changes.modules.get(name) ?? {}
    const { rows, cols } = shapes(name)
    if (values !== null) tensors.push(floats(`${name}.values`, values))
    if (quantized !== null) tensors.push(bytes(`${name}.planes`, 'uint8', quantized.planes))
    return { name, role, rows, cols, format: weight?.format ?? null, hasValues: values !== null, ...others }
  })
  for (const [name, values] of changes.vectors) tensors.push(floats(`${name}.vector`, values))
  const { vectors, cacheScales } = changes
  if (cacheScales !== null) tensors.push(floats(cacheKeys, cacheScales.keys), floats(cacheValues, cacheScales.values))
  const json: RecordJson = {
    modules: entries,
    vectors: [...vectors.keys()],
    cacheScheme: cacheScales?.scheme ?? null,
  }
  tensors.push(bytes(describing, 'uint8', new TextEncoder().encode(JSON.stringify(json))))
  writeSafetensorsFile(path, tensors)
}

export type ModuleShapes = (module: string) => { readonly rows: number; readonly cols: number }

/** `null` where there is none yet. */
export function readLayerRecord(path: string): LayerRecord | null {
  if (!existsSync(path)) return null
  const source = openSafetensors(path)
  try {
    const json = JSON.parse(new TextDecoder().decode(readBytes(source, describing))) as RecordJson // our own file
    const changed = json.modules.flatMap((entry): [string, ModuleChange][] => {
      const { name, format, hasValues, inputActivations, rows, cols } = entry
      if (format === null && !hasValues && inputActivations === null) return []
      const quantized = format === null ? null : { format, rows, cols, planes: readBytes(source, `${name}.planes`) }
      const values = hasValues ? readFloats(source, `${name}.values`) : null
      return [[name, { values, quantized, inputActivations }]]
    })
    return {
      modules: json.modules.map(({ name, role, format, rows, cols, inputActivations, sharedRows }) => ({
        name,
        role,
        weight: format === null ? null : { format, rows, cols },
        inputActivations,
        sharedRows,
      })),
      changes: {
        modules: new Map(changed),
        vectors: new Map(json.vectors.map((name) => [name, readFloats(source, `${name}.vector`)])),
        cacheScales: json.cacheScheme && {
          scheme: json.cacheScheme,
          keys: readFloats(source, cacheKeys),
          values: readFloats(source, cacheValues),
        },
      },
    }
  } finally {
    source.close()
  }
}

function floats(name: string, values: Float32Array): OutputTensor {
  return bytes(name, 'float32', new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
}

function bytes(name: string, dtype: RawDType, data: Uint8Array): OutputTensor {
  const elementBytes = dtype === 'float32' ? 4 : 1
  return tensorOf({ name, dtype, shape: [data.length / elementBytes], bytes: data })
}

function readBytes(source: WeightSource, name: string): Uint8Array {
  const tensor = source.raw(name)
  if (tensor === null)
    throw new CheckpointError(source.file, 'missing from the record of a finished layer', { tensor: name })
  const data = new Uint8Array(tensor.sizeInBytes)
  tensor.read(data)
  return data
}

function readFloats(source: WeightSource, name: string): Float32Array {
  return new Float32Array(readBytes(source, name).buffer)
}
