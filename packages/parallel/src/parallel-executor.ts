import { availableParallelism } from 'node:os'
import {
  type EngineInfo,
  type EngineModule,
  type Executor,
  type ExecutorContext,
  type GrammarSpec,
  initializeWorkers,
  type ModelRunnerOutput,
  type SchedulerOutput,
  waitAtMost,
} from '@octavo/core/engine'
import { checkIdentities } from './driver/check-identities.ts'
import { planRanks } from './driver/plan-ranks.ts'
import { RankGroup } from './driver/rank-group.ts'
import { joinLaunched } from './launch/join-launched.ts'
import { launchMpi } from './launch/launch-mpi.ts'
import { launchThreads } from './launch/launch-threads.ts'
import { launchedPlace } from './launch/launched-place.ts'
import type { LaunchRanks, RankLink } from './launch/rank-link.ts'
import type { ParallelConfig } from './parallel-options.ts'
import type { RankSetup } from './rank/rank-messages.ts'

/** What of an engine's modules its own thread uses, and no rank. */
const driverKinds: ReadonlySet<EngineModule['kind']> = new Set(['executor', 'scheduling-policy', 'draft-proposer'])

/** A rank that is busy is not waited for. */
const reportTimeoutMs = 500

/** Runs one model on several ranks: sends every plan to all of them and gives what the last stage's first rank says. */
export class ParallelExecutor implements Executor {
  /** As many as there are stages, so that each has one to work on. */
  readonly maxPlansInFlight: number
  readonly failed: Promise<Error>
  readonly #context: ExecutorContext
  readonly #config: ParallelConfig
  readonly #failed = Promise.withResolvers<Error>()
  #group: RankGroup | null = null

  constructor(context: ExecutorContext, config: ParallelConfig) {
    this.#context = context
    this.#config = config
    this.maxPlansInFlight = config.pp
    this.failed = this.#failed.promise
  }

  async initialize(): Promise<EngineInfo> {
    const { config, onProgress } = this.#context
    const { worldSize, width } = this.#config
    const { layerRanges } = await planRanks(this.#context, this.#config)
    const group = await RankGroup.launch(this.#launcher(), {
      outputRank: worldSize - width,
      stepTimeoutMs: config.device.stepTimeoutMs,
      onProgress,
    })
    this.#group = group
    void group.failed.then(this.#failed.resolve)
    try {
      this.#warnOfCrowds(group.links)
      const identities = await group.setUp((rank, link, threadGroup) =>
        this.#setupOf(rank, { link, threadGroup, layerRanges }),
      )
      checkIdentities(identities, group.links)
      const info = await initializeWorkers(group.workers, config)
      return { ...info, ranks: info.ranks.map((rank, i) => ({ ...rank, host: group.links[i]?.host ?? null })) }
    } catch (error) {
      await group.end()
      throw error
    }
  }

  executeModel(plan: SchedulerOutput): Promise<ModelRunnerOutput> {
    if (this.#group === null) return Promise.reject(new Error('an executor that was not initialized'))
    return this.#group.execute(plan)
  }

  compileGrammar(spec: GrammarSpec): Promise<void> {
    if (this.#group === null) return Promise.reject(new Error('an executor that was not initialized'))
    return this.#group.compileGrammar(spec)
  }

  async releaseKvCache(): Promise<void> {
    await this.#group?.toggleKvCache('releaseKvCache')
  }

  async restoreKvCache(): Promise<void> {
    await this.#group?.toggleKvCache('restoreKvCache')
  }

  async shutdown(): Promise<void> {
    if (this.#group !== null && this.#config.ep > 1) await this.#reportExperts(this.#group)
    await this.#group?.end()
  }

  /** How evenly the experts of each stage were used. */
  async #reportExperts(group: RankGroup): Promise<void> {
    const { worldSize, width } = this.#config
    for (let rank = 0; rank < worldSize; rank += width) {
      const answer = group.expertBalance(rank).catch(() => null)
      if (!(await waitAtMost(answer, reportTimeoutMs))) return
      const report = await answer
      if (report === null) continue
      const rows = report.rowsPerRank.map((count, i) => `${count} on rank ${rank + i}`).join(', ')
      this.#context.onLog(
        'info',
        `tokens given to experts: ${rows}; experts took ${report.imbalance.toFixed(2)} times what an even share takes`,
      )
    }
  }

  #launcher(): LaunchRanks {
    const { worldSize, executor } = this.#config
    const place = launchedPlace(this.#config)
    if (place !== null) return (events) => joinLaunched(this.#config, place, events)
    if (executor === 'mpi') return (events) => launchMpi(this.#config, events)
    return (events) => launchThreads({ worldSize, numCpus: availableParallelism() }, events)
  }

  #setupOf(
    rank: number,
    { link, ...rest }: { readonly link: RankLink } & Pick<RankSetup, 'threadGroup' | 'layerRanges'>,
  ): RankSetup {
    const { config, modelPath, modules } = this.#context
    const { tp, pp, ep } = this.#config
    return {
      ...rest,
      rank,
      tp,
      pp,
      ep,
      config,
      modelPath,
      modules: modules.filter(({ kind }) => !driverKinds.has(kind)),
      share: link.share,
      collectiveTimeoutMs: config.device.stepTimeoutMs,
    }
  }

  #warnOfCrowds(links: readonly RankLink[]): void {
    const crowds = links.filter(({ share, numCpus }) => share.numCpuWorkers > numCpus)
    const warnings = crowds.map(
      ({ host, share, numCpus }) =>
        `${share.numCpuWorkers} ranks share ${numCpus} CPU${numCpus === 1 ? '' : 's'}${host === null ? '' : ` of ${host}`}, and a step waits for the slowest of them; ${numCpus} would be faster`,
    )
    for (const warning of new Set(warnings)) this.#context.onLog('warn', warning)
  }
}
