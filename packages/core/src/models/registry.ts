import { isSupportedArchitecture, unsupportedArchitecture } from '../config/architectures.ts'
import type { MoreArchitectures, SupportedArchitecture } from '../config/architectures.ts'
import type { ModelConfig } from '../config/model-config.ts'
import type { ModelDefinition } from './model.ts'

/** Hugging Face architecture → the file that implements it, loaded when first asked for. */
const architectures: Readonly<Record<SupportedArchitecture, () => Promise<{ definition: ModelDefinition }>>> = {
  LlamaForCausalLM: () => import('./llama.ts'),
  MistralForCausalLM: () => import('./mistral.ts'),
  MixtralForCausalLM: () => import('./mixtral.ts'),
  Qwen2ForCausalLM: () => import('./qwen2.ts'),
  Qwen3ForCausalLM: () => import('./qwen3.ts'),
  Qwen3MoeForCausalLM: () => import('./qwen3-moe.ts'),
  Gemma2ForCausalLM: () => import('./gemma2.ts'),
  Gemma3ForCausalLM: () => import('./gemma3.ts'),
  // Its text part; the vision tower is left in the file.
  Gemma3ForConditionalGeneration: () => import('./gemma3.ts'),
  Phi3ForCausalLM: () => import('./phi3.ts'),
  GPT2LMHeadModel: () => import('./gpt2.ts'),
  Olmo2ForCausalLM: () => import('./olmo2.ts'),
  GptOssForCausalLM: () => import('./gpt-oss.ts'),
}

/** Those of `more` go before the ones above. Throws UnsupportedModelError that lists the known architectures. */
export async function getModelDefinition(
  { architecture, file }: Pick<ModelConfig, 'architecture' | 'file'>,
  more: MoreArchitectures<ModelDefinition> = {},
): Promise<ModelDefinition> {
  const added = Object.hasOwn(more, architecture) ? more[architecture] : undefined
  if (added !== undefined) return added
  if (!isSupportedArchitecture(architecture)) throw unsupportedArchitecture(architecture, file)
  return (await architectures[architecture]()).definition
}
