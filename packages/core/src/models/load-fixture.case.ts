import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { BackendPack } from '../backends/backend-pack.ts'
import { parseModelConfig } from '../config/model-config.ts'
import type { ModelConfig } from '../config/model-config.ts'
import { singleRank } from '../layers/communicator.ts'
import { openSafetensors } from '../loading/safetensors.ts'
import type { WeightSource } from '../loading/weight-source.ts'
import type { CausalLM, LoadModelContext } from './model.ts'
import { getModelDefinition } from './registry.ts'

const models = fileURLToPath(new URL('../../../../fixtures/models/', import.meta.url))

export function readFixtureConfig(folder: string): ModelConfig {
  return parseModelConfig(JSON.parse(readFileSync(`${models}${folder}/config.json`, 'utf8')), folder)
}

/** The caller closes it. */
export function openFixture(folder: string): WeightSource {
  return openSafetensors(`${models}${folder}`)
}

/** A golden model, or what `options` change of it. A source that is given stays open. */
export async function loadFixture(
  folder: string,
  options: { readonly pack: BackendPack } & Partial<LoadModelContext>,
): Promise<CausalLM> {
  const config = options.config ?? readFixtureConfig(folder)
  const definition = await getModelDefinition(config)
  const source = options.source ?? openFixture(folder)
  try {
    return definition.load({ config, dtype: 'auto', communicator: singleRank, ...options, source })
  } finally {
    if (options.source === undefined) source.close()
  }
}
