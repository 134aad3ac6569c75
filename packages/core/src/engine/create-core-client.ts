import type { EngineConfig } from '../config/engine-config.ts'
import { type Logger, silentLogger } from '../util/logger.ts'
import type { EngineCoreData } from './create-engine-core.ts'
import type { EngineCoreClient } from './engine-core-client.ts'
import type { EngineInfo } from './engine-info.ts'
import { RenewableCoreClient } from './renewable-core-client.ts'
import { defaultRestartPolicy, type RestartPolicy, SupervisedCoreClient } from './supervised-core-client.ts'
import { ThreadCoreClient } from './thread-core-client.ts'

export interface CoreHooks {
  readonly logger?: Logger
  /**
   * An engine that dies is started again, with back-off; meanwhile health is bad and requests are refused. Default false.
   */
  readonly restart?: boolean | RestartPolicy
  /** Where the engine core runs. Default: a thread of its own. */
  readonly createCoreClient?: (data: EngineCoreData) => EngineCoreClient
}

/** Where an engine's core runs: in a thread unless the hooks say otherwise, started again where they want it, and able to be ended and renewed. */
export function createCoreClient(data: EngineCoreData, hooks: CoreHooks): RenewableCoreClient {
  const { restart = false, logger = silentLogger } = hooks
  const createOne = hooks.createCoreClient ?? ((coreData: EngineCoreData) => new ThreadCoreClient(coreData))
  // Requests are checked against the context that was found first.
  const create = (previous: EngineInfo | null): EngineCoreClient =>
    createOne(previous === null ? data : { ...data, config: withMaxModelLen(data.config, previous.maxModelLen) })
  if (restart === false) return new RenewableCoreClient(create)
  const policy = restart === true ? defaultRestartPolicy : restart
  return new RenewableCoreClient(
    (renewed) => new SupervisedCoreClient({ policy, logger, create: (previous) => create(previous ?? renewed) }),
  )
}

function withMaxModelLen(config: EngineConfig, maxModelLen: number): EngineConfig {
  return { ...config, model: { ...config.model, maxModelLen } }
}
