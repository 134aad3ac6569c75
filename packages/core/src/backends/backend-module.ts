import { BackendUnavailableError } from '../errors.ts'
import type { BackendOptions, BackendProvider } from './backend-pack.ts'

/** A backend of another package, as plain data: functions cannot cross to the engine thread, a module's URL can. */
export interface BackendModule {
  /** The name a user chooses it by. */
  readonly name: string
  /** A module whose export `backendProvider` is a `BackendProvider`. */
  readonly url: string
  /** Passed to the provider's `probe` and `create`. */
  readonly options?: BackendOptions
}

/**
 * Imports the modules, for `createBackend`. One that cannot be imported becomes a provider that says why it is not available.
 */
export function loadBackendModules(modules: readonly BackendModule[]): Promise<BackendProvider[]> {
  return Promise.all(modules.map(loadBackendModule))
}

async function loadBackendModule(module: BackendModule): Promise<BackendProvider> {
  try {
    const exports: unknown = await import(module.url)
    const provider: unknown = typeof exports === 'object' && exports && Reflect.get(exports, 'backendProvider')
    if (!isProvider(provider)) throw new BackendUnavailableError('it exports no backendProvider')
    return {
      name: module.name,
      priority: provider.priority,
      probe: () => provider.probe(module.options),
      create: () => provider.create(module.options),
    }
  } catch (error) {
    const detail = `${module.url} could not be loaded: ${error instanceof Error ? error.message : String(error)}`
    return {
      name: module.name,
      priority: 0,
      probe: async () => ({ available: false, detail }),
      create: () => Promise.reject(new BackendUnavailableError(detail)),
    }
  }
}

function isProvider(value: unknown): value is BackendProvider {
  if (typeof value !== 'object' || value === null) return false
  const has = (name: string, type: string): boolean => typeof Reflect.get(value, name) === type
  return has('name', 'string') && has('priority', 'number') && has('probe', 'function') && has('create', 'function')
}
