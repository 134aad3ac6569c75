import type { EngineConfig } from '../config/engine-config.ts'
import type { EngineModule } from '../config/engine-module.ts'
import { createScheduler } from './create-scheduler.ts'
import { EngineCore } from './engine-core.ts'
import type { EngineInfo } from './engine-info.ts'
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
  onProgress: (loadedBytes: number, totalBytes: number) => void,
): Promise<{ core: EngineCore; info: EngineInfo }> {
  const { createExecutor, createSchedulingPolicy, createDraftProposer, ...workerModules } =
    await loadEngineModules(modules)
  const parts = {
    policy: createSchedulingPolicy?.({ config }) ?? null,
    draftProposer: createDraftProposer?.({ config }) ?? null,
  }
  const context = { config, modelPath, workerModules, modules, onProgress }
  const executor = createExecutor?.(context) ?? new InlineExecutor(context)
  const info = await executor.initialize()
  const { maxPlansInFlight } = executor
  return {
    core: new EngineCore(createScheduler(config, { ...info, maxPlansInFlight }, parts), executor),
    info,
  }
}
