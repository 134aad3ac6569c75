import type { BackendProvider } from '../backends/backend-pack.ts'
import { type EngineModule, importEngineModule, type ModuleExport } from '../config/engine-module.ts'
import { BackendUnavailableError, InvalidConfigError } from '../errors.ts'
import { messageOf } from '../util/message-of.ts'
import type { SchedulingPolicy } from '../scheduler/scheduling-policy.ts'
import type { CreateExecutor } from './executor.ts'
import type { WorkerModules } from './worker.ts'

/** What the modules of an engine export, by kind. */
export interface LoadedModules extends WorkerModules {
  /** `null` = one worker, in the engine's own thread. */
  readonly createExecutor: CreateExecutor | null
  /** `null` = the one that the configuration names. */
  readonly schedulingPolicy: SchedulingPolicy | null
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
    createExecutor: await loadExecutor(onlyOne(ofKind('executor'))),
    schedulingPolicy: await loadSchedulingPolicy(onlyOne(ofKind('scheduling-policy'))),
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

async function loadExecutor(module: EngineModule | null): Promise<CreateExecutor | null> {
  if (module === null) return null
  const create = await importEngineModule(module, executorExport)
  return (context) => create(context, module.options)
}

const policyExport: ModuleExport<(options?: EngineModule['options']) => unknown> = {
  name: 'createSchedulingPolicy',
  shape: 'a function (options) that returns a SchedulingPolicy: { name, createQueue(), chooseVictim() }',
  isValid: (value): value is () => unknown => typeof value === 'function',
}

async function loadSchedulingPolicy(module: EngineModule | null): Promise<SchedulingPolicy | null> {
  if (module === null) return null
  const policy = (await importEngineModule(module, policyExport))(module.options)
  if (isSchedulingPolicy(policy)) return policy
  throw new InvalidConfigError(
    'modules',
    `the ${module.kind} module ${JSON.stringify(module.name)} (${module.url}): ${policyExport.name} must be ${policyExport.shape}`,
  )
}

function isSchedulingPolicy(value: unknown): value is SchedulingPolicy {
  if (typeof value !== 'object' || value === null) return false
  const has = (name: string, type: string): boolean => typeof Reflect.get(value, name) === type
  return has('name', 'string') && has('createQueue', 'function') && has('chooseVictim', 'function')
}

function onlyOne([module, another]: readonly EngineModule[]): EngineModule | null {
  if (module === undefined) return null
  if (another === undefined) return module
  throw new InvalidConfigError(
    'modules',
    `has ${JSON.stringify(module.name)} and ${JSON.stringify(another.name)} of the kind ${module.kind}; an engine has one, so leave the other out`,
  )
}
