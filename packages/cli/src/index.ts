import { nativeBackend } from '@octavo/backend-native'
import { parallelModules, type ParallelOptions } from '@octavo/parallel/executor'
import { AsyncEngine as CoreAsyncEngine, type EngineHooks, type EngineOptions, LLM as CoreLLM } from '@octavo/core'

/** All that core has; what opens a model brings the backends of the command along. */
export * from '@octavo/core'
export type { ParallelOptions } from '@octavo/parallel/executor'

/** What may be given besides the engine's options. */
export interface OctavoHooks extends EngineHooks {
  /** On how many ranks the model runs, and where: `{ tp: 2 }`. Default: one, in the engine's thread. */
  readonly parallel?: ParallelOptions
}

/** Core's `LLM`, on the fastest backend that works here. */
export class LLM extends CoreLLM {
  static override load(model: string, options: Omit<EngineOptions, 'model'> & OctavoHooks = {}): Promise<LLM> {
    return super.load(model, withParts(options))
  }
}

/** Core's `AsyncEngine`, on the fastest backend that works here. */
export class AsyncEngine extends CoreAsyncEngine {
  static override create(options: EngineOptions, hooks: OctavoHooks = {}): Promise<AsyncEngine> {
    return super.create(options, withParts(hooks))
  }
}

/** Loads a model for `model.infer(…)`: the same as `LLM.load`. */
export function loadModel(model: string, options: Omit<EngineOptions, 'model'> & OctavoHooks = {}): Promise<LLM> {
  return LLM.load(model, options)
}

/** A native backend with options of its own, which the caller passes, goes before. */
function withParts<Hooks extends OctavoHooks>({ parallel = {}, ...hooks }: Hooks): Omit<Hooks, 'parallel'> {
  const { modules = [] } = hooks
  const hasNative = modules.some(({ kind, name }) => kind === 'backend' && name === nativeBackend.name)
  return { ...hooks, modules: [...(hasNative ? [] : [nativeBackend]), ...modules, ...parallelModules(parallel)] }
}
