import type { EngineModule } from '@octavo/core/backend'
import type { NativeOptions } from './native-pack.ts'

// Sources run as they are (type stripping); the build puts the entry beside its chunks.
const entry = import.meta.url.endsWith('.ts') ? './native-provider.ts' : './native-provider.js'
const url = new URL(entry, import.meta.url).href

/**
 * What an engine takes to have this backend among its choices.
 *
 * @example
 * const llm = await LLM.load('octavo-tiny', { modules: [nativeBackend] })
 */
export const nativeBackend: EngineModule = { kind: 'backend', name: 'native', url }

/** As `nativeBackend`, with options. */
export function nativeBackendWith({ threads, activations, packing, isa }: NativeOptions): EngineModule {
  return { kind: 'backend', name: 'native', url, options: { threads, activations, packing, isa } }
}
