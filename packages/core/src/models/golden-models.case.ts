import { readdirSync, readFileSync } from 'node:fs'
import type { BackendPack } from '../backends/backend-pack.ts'
import { parseModelConfig } from '../config/model-config.ts'
import { singleRank } from '../layers/communicator.ts'
import { ggufConfig } from '../loading/gguf-config.ts'
import { openGguf } from '../loading/gguf.ts'
import { findQuantization } from '../loading/quantization-section.ts'
import { openSafetensors } from '../loading/safetensors.ts'
import type { WeightSource } from '../loading/weight-source.ts'
import { createSchemeMethods } from '../quantization/grouped-method.ts'
import { createQuantizationScheme } from '../quantization/create-quantization-scheme.ts'
import type { CausalLM, LoadModelContext } from './model.ts'
import { getModelDefinition } from './registry.ts'

type GoldenTask = 'generate' | 'embed' | 'classify'

/** Models of all families, tiny and random: those that generate, or others. */
export function listGoldenFolders(fixtures: string, tasks: readonly GoldenTask[] = ['generate']): readonly string[] {
  return readdirSync(`${fixtures}models`).filter((folder) => {
    const { task } = readJson<{ readonly task: GoldenTask }>(`${fixtures}models/${folder}/golden.json`)
    return tasks.includes(task)
  })
}

export interface Golden {
  readonly max_abs_logit: number
  readonly prompts: readonly {
    readonly name: string
    readonly ids: readonly number[]
    readonly last_logits: readonly number[]
    readonly greedy_ids: readonly number[]
  }[]
  readonly all_logits: { readonly prompt: string; readonly logits: readonly (readonly number[])[] }
  readonly top_logprobs: {
    readonly prompt: string
    readonly steps: readonly (readonly { readonly id: number; readonly logprob: number }[])[]
  }
}

/** Checkpoints beside one golden.json: .gguf files, or folders of quantized weights. */
export const allGoldenKinds = ['gguf', 'quantized', 'quantized-floats'] as const

export type GoldenKind = (typeof allGoldenKinds)[number]

export interface GoldenFiles {
  readonly files: readonly {
    readonly file: string
    readonly outputs: readonly {
      readonly ids: readonly number[]
      readonly last_logits: readonly number[]
      readonly greedy_ids: readonly number[]
    }[]
  }[]
}

export function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(path, 'utf8'))
}

/** The model in a folder or a .gguf file; tokenizers play no part here. */
export async function loadModel(
  path: string,
  options: { readonly pack: BackendPack } & Partial<LoadModelContext>,
): Promise<CausalLM> {
  const { json, source } = path.endsWith('.gguf') ? openGgufModel(path) : openFolder(path)
  try {
    const config = parseModelConfig(json, path)
    const definition = await getModelDefinition(config)
    const section = path.endsWith('.gguf') ? null : findQuantization(path, json)
    const linearMethods = createSchemeMethods(section && createQuantizationScheme(section))
    return definition.load({ config, source, dtype: 'auto', communicator: singleRank, linearMethods, ...options })
  } finally {
    source.close()
  }
}

function openFolder(path: string): { json: Record<string, unknown>; source: WeightSource } {
  return { json: readJson(`${path}/config.json`), source: openSafetensors(path) }
}

function openGgufModel(path: string): { json: Record<string, unknown>; source: WeightSource } {
  const model = openGguf(path)
  return { json: ggufConfig(model), source: model.weights }
}
