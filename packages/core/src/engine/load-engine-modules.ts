import type { BackendProvider } from '../backends/backend-pack.ts'
import { type EngineModule, importEngineModule, type ModuleExport } from '../config/engine-module.ts'
import { BackendUnavailableError, InvalidConfigError } from '../errors.ts'
import { messageOf } from '../util/message-of.ts'
import type { CreateExecutor } from './executor.ts'
import type { WorkerModules } from './worker.ts'

/** What the modules of an engine export, by kind. */
export interface LoadedModules extends WorkerModules {
  /** `null` = one worker, in the engine's own thread. */
  readonly createExecutor: CreateExecutor | null
}

/**
 * Imports the modules, on the thread that uses them. A backend that cannot be imported becomes one that says why it is
 * not available, since `auto` may take another.
 * @throws InvalidConfigError for any other module that cannot be imported or does not export what its kind must
 */
export async function loadEngineModules(modules: readonly EngineModule[]): Promise<LoadedModules> {
  const ofKind = (kind: EngineModule['kind']): EngineModule[] => modules.filter((module) => module.kind === kind)
  return {
    backends: await Promise.all(ofKind('backend').map(loadBackend)),
    createExecutor: await loadExecutor(ofKind('executor')),
  }
}

const backendExport: ModuleExport<BackendProvider> = {
  name: 'backendProvider',
  shape: 'a BackendProvider: { name, priority, probe(), create() }',
  isValid(value): value is BackendProvider {
    if (typeof value !== 'object' || value === null) return false
    const has = (name: string, type: string): boolean => typeof Reflect.get(value, name) === type
    return has('name', 'string') && has('priority', 'number') && has('probe', 'function') && has('create', 'function')
  },
}

async function loadBackend(module: EngineModule): Promise<BackendProvider> {
  try {
    const provider = await importEngineModule(module, backendExport)
    return {
      name: module.name,
      priority: provider.priority,
      probe: () => provider.probe(module.options),
      create: (_, share) => provider.create(module.options, share),
    }
  } catch (error) {
    const detail = messageOf(error)
    return {
      name: module.name,
      priority: 0,
      probe: async () => ({ available: false, detail }),
      create: () => Promise.reject(new BackendUnavailableError(detail)),
    }
  }
}

const executorExport: ModuleExport<CreateExecutor> = {
  name: 'createExecutor',
  shape: 'a function (context, options) that returns an Executor',
  isValid: (value): value is CreateExecutor => typeof value === 'function',
}

async function loadExecutor([module, another]: readonly EngineModule[]): Promise<CreateExecutor | null> {
  if (module === undefined) return null
  if (another !== undefined) {
    throw new InvalidConfigError(
      'modules',
      `has the executors ${JSON.stringify(module.name)} and ${JSON.stringify(another.name)}; an engine has one, so leave the other out`,
    )
  }
  const create = await importEngineModule(module, executorExport)
  return (context) => create(context, module.options)
}
