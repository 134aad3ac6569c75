import { nativeBackendWith } from '@octavo/backend-native'
import { type EngineModule, type EngineOptions, tensorflowBackendWith } from '@octavo/core'

/** Flags that go to a backend rather than to the engine. */
export interface BackendFlags {
  readonly threads?: number
  /** The engine's too: as in vLLM it names the type of weights and activations, where a backend has several. */
  readonly dtype?: EngineOptions['dtype']
}

/** The backends that this command brings along besides core's own. */
export function backendModules({ threads, dtype }: BackendFlags): EngineModule[] {
  const native = nativeBackendWith(threads === undefined ? {} : { threads })
  return dtype === undefined || dtype === 'auto' ? [native] : [native, tensorflowBackendWith({ dtype })]
}
