import type { EngineConfig } from '../config/engine-config.ts'
import type { EngineModule } from '../config/engine-module.ts'
import { createScheduler } from './create-scheduler.ts'
import { EngineCore } from './engine-core.ts'
import type { EngineCoreEvents } from './engine-core-client.ts'
import type { EngineInfo } from './engine-info.ts'
import type { ExecutorContext } from './executor.ts'
import { InlineExecutor } from './inline-executor.ts'
import { loadEngineModules } from './load-engine-modules.ts'

/** What an engine core is made of: plain data that crosses to the thread where it runs. */
export interface EngineCoreData {
  readonly config: EngineConfig
  /** The checkpoint's folder or GGUF file, already local. */
  readonly modelPath: string
  readonly modules: readonly EngineModule[]
}

/** Imports the modules, loads the model, and builds the core that runs it in this thread. */
export async function createEngineCore(
  { config, modelPath, modules }: EngineCoreData,
  events: Pick<EngineCoreEvents, 'onProgress' | 'onLog'>,
): Promise<{ core: EngineCore; info: EngineInfo }> {
  const { createExecutor, createSchedulingPolicy, createDraftProposer, ...workerModules } =
    await loadEngineModules(modules)
  const parts = {
    policy: createSchedulingPolicy?.({ config }) ?? null,
    draftProposer: createDraftProposer?.({ config }) ?? null,
  }
  const context: ExecutorContext = {
    config,
    modelPath,
    workerModules,
    modules,
    onProgress: (loadedBytes, totalBytes) => events.onProgress(loadedBytes, totalBytes),
    onLog: (level, message) => events.onLog(level, message),
  }
  const executor = createExecutor?.(context) ?? new InlineExecutor(context)
  const info = await executor.initialize()
  const { maxPlansInFlight } = executor
  return {
    core: new EngineCore(createScheduler(config, { ...info, maxPlansInFlight }, parts), executor),
    info,
  }
}
