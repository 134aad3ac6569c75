import type { EngineModule } from '../config/engine-module.ts'
import type { EngineDeadError } from '../errors.ts'
import type { CoreHooks } from './create-core-client.ts'
import type { CreateTokenizer, LoadHooks } from './front-model.ts'

/** What a program may pass besides the plain options: functions cannot cross to the engine thread. */
export interface EngineHooks extends LoadHooks, CoreHooks {
  /** Parts from outside core by their URLs: backends, models, an executor, … (`EngineModuleKind`). */
  readonly modules?: readonly EngineModule[]
  /** Told once, when the engine will never serve again. */
  readonly onDead?: (error: EngineDeadError) => void
  /** Default: the checkpoint's own. */
  readonly createTokenizer?: CreateTokenizer
}

/** Complete by its type: of options that are given together, these are the hooks. */
export const hookNames: Readonly<Record<keyof EngineHooks, true>> = {
  logger: true,
  modules: true,
  restart: true,
  onDead: true,
  createCoreClient: true,
  createTokenizer: true,
  onDownloadProgress: true,
  onLoadProgress: true,
}
