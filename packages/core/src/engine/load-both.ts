import type { EngineCoreData } from './create-engine-core.ts'
import type { EngineCoreClient, EngineCoreEvents } from './engine-core-client.ts'
import type { EngineHooks } from './engine-hooks.ts'
import { type FrontModel, loadFrontModel } from './front-model.ts'

/** Both threads load at once; where one can't, the other stops. */
export async function loadBoth(
  { config, modelPath, modules }: EngineCoreData,
  { createTokenizer }: EngineHooks,
  { core, events }: { readonly core: EngineCoreClient; readonly events: EngineCoreEvents },
): Promise<FrontModel> {
  const started = core.start(events)
  // Nobody waits for it if the front fails first.
  started.catch(() => {})
  try {
    const front = await loadFrontModel(config, modelPath, { modules, ...(createTokenizer && { createTokenizer }) })
    try {
      await started
      if (core.failure !== null) throw core.failure
    } catch (error) {
      await front.promptEncoder.close()
      throw error
    }
    return front
  } catch (error) {
    await core.shutdown()
    throw error
  }
}
