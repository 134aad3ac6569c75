import type { BackendProvider } from '../backends/backend-pack.ts'
import type { MoreArchitectures } from '../config/architectures.ts'
import {
  type EngineModule,
  hasFunctions,
  importEngineModule,
  importModuleFactory,
  moduleError,
  type ModuleExport,
  type ModuleFactory,
} from '../config/engine-module.ts'
import { BackendUnavailableError, InvalidConfigError } from '../errors.ts'
import type { LinearMethods } from '../layers/linear-method.ts'
import type { ModelDefinition } from '../models/model.ts'
import type { LogitsProcessor } from '../sampling/logits-processor.ts'
import type { Sampler } from '../sampling/sampler.ts'
import type { DraftProposer } from '../scheduler/draft-proposer.ts'
import type { SchedulingPolicy } from '../scheduler/scheduling-policy.ts'
import type { DraftProposerContext, SchedulingPolicyContext } from './create-scheduler.ts'
import { messageOf } from '../util/message-of.ts'
import type { Executor, ExecutorContext } from './executor.ts'
import type { LinearMethodsContext, LogitsProcessorsContext, SamplerContext, WorkerModules } from './worker-modules.ts'

/** What the modules of an engine export, by kind. */
export interface LoadedModules extends WorkerModules {
  /** `null` = one worker, in the engine's own thread. */
  readonly createExecutor: ((context: ExecutorContext) => Executor) | null
  /** `null` = the one that the configuration names. */
  readonly createSchedulingPolicy: ((context: SchedulingPolicyContext) => SchedulingPolicy) | null
  /** `null` = no drafts. */
  readonly createDraftProposer: ((context: DraftProposerContext) => DraftProposer) | null
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
    architectures: await loadArchitectures(modules),
    linearMethods: await loadAll(ofKind('linear-methods'), linearMethods),
    logitsProcessors: await loadAll(ofKind('logits-processors'), logitsProcessors),
    createSampler: await loadOne(ofKind('sampler'), sampler),
    createExecutor: await loadOne(ofKind('executor'), executor),
    createSchedulingPolicy: await loadOne(ofKind('scheduling-policy'), schedulingPolicy),
    createDraftProposer: await loadOne(ofKind('draft-proposer'), draftProposer),
  }
}

/**
 * The architectures that modules of kind `model` export, also for the thread that reads config.json only.
 * @throws InvalidConfigError
 */
export async function loadArchitectures(modules: readonly EngineModule[]): Promise<MoreArchitectures<ModelDefinition>> {
  const architectures: Record<string, ModelDefinition> = {}
  for (const module of modules) {
    if (module.kind !== 'model') continue
    if (module.options !== undefined) throw moduleError(module, 'has options, but its architectures take none')
    for (const [name, definition] of Object.entries(await importEngineModule(module, architecturesExport))) {
      if (Object.hasOwn(architectures, name))
        throw moduleError(module, `has the architecture ${JSON.stringify(name)}, as one before it has; leave one out`)
      architectures[name] = definition
    }
  }
  return architectures
}

const architecturesExport: ModuleExport<Readonly<Record<string, ModelDefinition>>> = {
  name: 'architectures',
  shape: 'a record from the name in config.json to a ModelDefinition: { load() }',
  isValid: (value): value is Readonly<Record<string, ModelDefinition>> =>
    typeof value === 'object' &&
    value !== null &&
    Object.keys(value).length > 0 &&
    Object.values(value).every((definition) => hasFunctions(definition, 'load')),
}

const linearMethods: ModuleFactory<LinearMethodsContext, LinearMethods> = {
  name: 'createLinearMethods',
  makes: 'LinearMethods: a function (module, role) that returns a LinearMethod',
  isValid: (value): value is LinearMethods => typeof value === 'function',
}

const logitsProcessors: ModuleFactory<LogitsProcessorsContext, readonly LogitsProcessor[]> = {
  name: 'createLogitsProcessors',
  makes: 'an array of LogitsProcessor: { apply() }',
  isValid: (value): value is LogitsProcessor[] =>
    Array.isArray(value) && value.every((item) => hasFunctions(item, 'apply')),
}

const sampler: ModuleFactory<SamplerContext, Sampler> = {
  name: 'createSampler',
  makes: 'a Sampler: { sample() }',
  isValid: (value): value is Sampler => hasFunctions(value, 'sample'),
}

const executor: ModuleFactory<ExecutorContext, Executor> = {
  name: 'createExecutor',
  makes: 'an Executor: { maxPlansInFlight, initialize(), executeModel(), shutdown() }',
  isValid: (value): value is Executor =>
    hasFunctions(value, 'initialize', 'executeModel', 'shutdown') &&
    Number(Reflect.get(value, 'maxPlansInFlight')) >= 1,
}

const schedulingPolicy: ModuleFactory<SchedulingPolicyContext, SchedulingPolicy> = {
  name: 'createSchedulingPolicy',
  makes: 'a SchedulingPolicy: { name, createQueue(), chooseVictim() }',
  isValid: (value): value is SchedulingPolicy =>
    hasFunctions(value, 'createQueue', 'chooseVictim') && typeof Reflect.get(value, 'name') === 'string',
}

const draftProposer: ModuleFactory<DraftProposerContext, DraftProposer> = {
  name: 'createDraftProposer',
  makes: 'a DraftProposer: { propose() }',
  isValid: (value): value is DraftProposer => hasFunctions(value, 'propose'),
}

const backendExport: ModuleExport<BackendProvider> = {
  name: 'backendProvider',
  shape: 'a BackendProvider: { name, priority, probe(), create() }',
  isValid: (value): value is BackendProvider =>
    hasFunctions(value, 'probe', 'create') &&
    typeof Reflect.get(value, 'name') === 'string' &&
    typeof Reflect.get(value, 'priority') === 'number',
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

async function loadOne<Context, Made>(
  modules: readonly EngineModule[],
  wanted: ModuleFactory<Context, Made>,
): Promise<((context: Context) => Made) | null> {
  const module = onlyOne(modules)
  return module === null ? null : importModuleFactory(module, wanted)
}

function loadAll<Context, Made>(
  modules: readonly EngineModule[],
  wanted: ModuleFactory<Context, Made>,
): Promise<((context: Context) => Made)[]> {
  return Promise.all(modules.map((module) => importModuleFactory(module, wanted)))
}

function onlyOne([module, another]: readonly EngineModule[]): EngineModule | null {
  if (module === undefined) return null
  if (another === undefined) return module
  throw new InvalidConfigError(
    'modules',
    `has ${JSON.stringify(module.name)} and ${JSON.stringify(another.name)} of the kind ${module.kind}; an engine has one, so leave the other out`,
  )
}
