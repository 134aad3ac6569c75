import { nativeBackend } from '@octavo/backend-native'
import { AsyncEngine as CoreAsyncEngine, type EngineHooks, type EngineOptions, LLM as CoreLLM } from '@octavo/core'

/** All that core has; what opens a model brings the backends of the command along. */
export * from '@octavo/core'

/** Core's `LLM`, on the fastest backend that works here. */
export class LLM extends CoreLLM {
  static override load(model: string, options: Omit<EngineOptions, 'model'> & EngineHooks = {}): Promise<LLM> {
    return super.load(model, withNative(options))
  }
}

/** Core's `AsyncEngine`, on the fastest backend that works here. */
export class AsyncEngine extends CoreAsyncEngine {
  static override create(options: EngineOptions, hooks: EngineHooks = {}): Promise<AsyncEngine> {
    return super.create(options, withNative(hooks))
  }
}

/** Loads a model for `model.infer(…)`: the same as `LLM.load`. */
export function loadModel(model: string, options: Omit<EngineOptions, 'model'> & EngineHooks = {}): Promise<LLM> {
  return LLM.load(model, options)
}

/** A native backend with options of its own, which the caller passes, goes before. */
function withNative<Hooks extends EngineHooks>(hooks: Hooks): Hooks {
  const { modules = [] } = hooks
  const hasNative = modules.some(({ kind, name }) => kind === 'backend' && name === nativeBackend.name)
  return hasNative ? hooks : { ...hooks, modules: [nativeBackend, ...modules] }
}
