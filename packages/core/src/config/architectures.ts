import { UnsupportedModelError } from '../errors.ts'

/** Hugging Face's names of what `models/registry.ts` has an implementation of. */
export const supportedArchitectures = [
  'LlamaForCausalLM',
  'MistralForCausalLM',
  'MixtralForCausalLM',
  'Qwen2ForCausalLM',
  'Qwen3ForCausalLM',
  'Qwen3MoeForCausalLM',
  'Gemma2ForCausalLM',
  'Gemma3ForCausalLM',
  'Gemma3ForConditionalGeneration',
  'Phi3ForCausalLM',
  'GPT2LMHeadModel',
  'Olmo2ForCausalLM',
  'GptOssForCausalLM',
] as const

export type SupportedArchitecture = (typeof supportedArchitectures)[number]

/** What the reader of config.json has to know of an architecture from outside (`ModelDefinition`). */
export interface ArchitectureConfig {
  /** Its config.json → the keys of Hugging Face's, where it has others or leaves out what has no default. */
  readConfig?(json: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>
}

/** By the name in `architectures` of config.json. */
export type MoreArchitectures<T extends ArchitectureConfig = ArchitectureConfig> = Readonly<Record<string, T>>

export function isSupportedArchitecture(name: string): name is SupportedArchitecture {
  return supportedArchitectures.some((known) => known === name)
}

export function unsupportedArchitecture(name: string, file: string, options?: ErrorOptions): UnsupportedModelError {
  return new UnsupportedModelError(
    `${file}: the architecture "${name.slice(0, 200)}" is not supported. Known are ${supportedArchitectures.join(', ')}; a module of kind 'model' adds others.`,
    options,
  )
}
