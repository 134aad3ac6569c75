import { nativeBackendWith } from '@octavo/backend-native'
import type { BackendModule } from '@octavo/core'

/** Flags that go to a backend rather than to the engine. */
export interface BackendFlags {
  readonly threads?: number
}

/** The backends that this command brings along besides core's own. */
export function backendModules({ threads }: BackendFlags): BackendModule[] {
  return [nativeBackendWith(threads === undefined ? {} : { threads })]
}
