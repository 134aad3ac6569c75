import {
  findArchitecture,
  type ModelFile,
  type MoreArchitectures,
  unsupportedArchitecture,
} from '../config/architectures.ts'
import type { ModelConfig } from '../config/model-config.ts'
import type { ModelDefinition } from './model.ts'

/** The files that implement `config/architectures.ts`, loaded when first asked for. */
const models: Readonly<Record<ModelFile, () => Promise<{ definition: ModelDefinition }>>> = {
  llama: () => import('./llama.ts'),
  mistral: () => import('./mistral.ts'),
  mixtral: () => import('./mixtral.ts'),
  qwen2: () => import('./qwen2.ts'),
  qwen3: () => import('./qwen3.ts'),
  'qwen3-moe': () => import('./qwen3-moe.ts'),
  gemma2: () => import('./gemma2.ts'),
  gemma3: () => import('./gemma3.ts'),
  phi3: () => import('./phi3.ts'),
  gpt2: () => import('./gpt2.ts'),
  olmo2: () => import('./olmo2.ts'),
  'gpt-oss': () => import('./gpt-oss.ts'),
  bert: () => import('./bert.ts'),
  roberta: () => import('./roberta.ts'),
  distilbert: () => import('./distilbert.ts'),
  'nomic-bert': () => import('./nomic-bert.ts'),
  modernbert: () => import('./modernbert.ts'),
}

/** Those of `more` go before the ones above. Throws UnsupportedModelError that lists the known architectures. */
export async function getModelDefinition(
  { architecture, file }: Pick<ModelConfig, 'architecture' | 'file'>,
  more: MoreArchitectures<ModelDefinition> = {},
): Promise<ModelDefinition> {
  const added = Object.hasOwn(more, architecture) ? more[architecture] : undefined
  if (added !== undefined) return added
  const known = findArchitecture(architecture)
  if (known === null) throw unsupportedArchitecture(architecture, file)
  return (await models[known.model]()).definition
}
