import { join } from 'node:path'
import { CheckpointError } from '../errors.ts'
import { isJsonObject, type JsonObject } from '../util/json-object.ts'
import { readJsonFile } from './json-file.ts'

const maxConfigBytes = 8 * 1024 * 1024

/** What a checkpoint says of how its weights were quantized, not yet believed. */
export interface QuantizationSection {
  /** Where it was found, for messages. */
  readonly file: string
  /** Of a file that only one method writes: its name, where the section has none. */
  readonly method: string | null
  readonly json: JsonObject
}

/** Files of their own, from before config.json had a section, with the method whose they are. */
const separateFiles: readonly (readonly [name: string, method: string])[] = [
  ['quantize_config.json', 'gptq'],
  ['quant_config.json', 'awq'],
  ['hf_quant_config.json', 'modelopt'],
]

function requireObject(section: unknown, file: string): JsonObject {
  if (isJsonObject(section)) return section
  throw new CheckpointError(
    file,
    `its quantization_config is ${JSON.stringify(section).slice(0, 80)}, which says nothing of how weights are quantized; it must be an object, or be left out`,
  )
}

/** From config.json, a multimodal one's `text_config`, or a file beside it; `null` where none says anything. */
export function findQuantization(folder: string, config: JsonObject): QuantizationSection | null {
  const file = join(folder, 'config.json')
  const text = config['text_config']
  const configs = isJsonObject(text) ? [config, text] : [config]
  for (const { quantization_config: quantization, compression_config: compression } of configs) {
    if (quantization != null) return { file, method: null, json: requireObject(quantization, file) }
    if (compression != null) return { file, method: 'compressed-tensors', json: requireObject(compression, file) }
  }
  for (const [name, method] of separateFiles) {
    const path = join(folder, name)
    const json = readJsonFile(path, maxConfigBytes)
    if (json !== null) return { file: path, method, json }
  }
  return null
}
