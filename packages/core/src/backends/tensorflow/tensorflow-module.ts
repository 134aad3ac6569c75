import type { EngineModule } from '../../config/engine-module.ts'
import type { TensorflowOptions } from './tensorflow-pack.ts'

/**
 * Core's tensorflow backend with options, in place of the one without.
 *
 * @example
 * const llm = await LLM.load('Qwen/Qwen3-0.6B', { modules: [tensorflowBackendWith({ dtype: 'bfloat16' })] })
 */
export function tensorflowBackendWith(options: TensorflowOptions): EngineModule {
  // Sources run as they are (type stripping); the build puts the entry beside its chunks.
  const entry = import.meta.url.endsWith('.ts') ? './tensorflow-provider.ts' : './tensorflow-provider.js'
  return { kind: 'backend', name: 'tensorflow', url: new URL(entry, import.meta.url).href, options: { ...options } }
}
