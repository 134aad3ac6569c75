import {
  type ExpertBalanceReport,
  fromTransferredError,
  type GrammarSpec,
  type initializeWorkers,
  type LoadedModel,
  type ModelRunnerOutput,
  type SchedulerOutput,
  type WarmupReport,
} from '@octavo/core/engine'
import { OctavoError, RankFailedError } from '@octavo/core'
import type { LaunchedRanks, LaunchRanks, RankEvents, RankLink } from '../launch/rank-link.ts'
import type { FromRank, RankIdentity, RankSetup, ToRank } from '../rank/rank-messages.ts'
import { StepDeadline } from './step-deadline.ts'

export interface RankGroupOptions {
  /** The rank whose output is the plan's. */
  readonly outputRank: number
  readonly stepTimeoutMs: number
  onProgress(loadedBytes: number, totalBytes: number): void
}

interface Call {
  resolve(value: unknown): void
  reject(error: Error): void
}

interface Progress {
  readonly loadedBytes: number
  readonly totalBytes: number
}

/** How long the one at fault may take to say so, after another has noticed. */
const causeDelayMs = 300

/**
 * Ranks that run one model together, and fail together: whichever ends, throws or does not go on, all are ended, and all
 * that was asked of them is rejected with one error that names it.
 */
export class RankGroup implements RankEvents {
  /** Resolves with the failure. */
  readonly failed: Promise<Error>
  readonly #options: RankGroupOptions
  readonly #failed = Promise.withResolvers<Error>()
  readonly #deadline: StepDeadline
  #ranks: LaunchedRanks | null = null
  /** What each rank has not answered yet, oldest first. */
  #calls: Call[][] = []
  readonly #grammars = new Map<number, Call>()
  #numGrammars = 0
  #progress = new Map<number, Progress>()
  #failure: Error | null = null
  #isServing = false
  #isEnding = false
  #ended: Promise<void> = Promise.resolve()
  /** A rank threw because another had failed: that is the reason, if the other says nothing in time. */
  #hasSymptom = false

  private constructor(options: RankGroupOptions) {
    this.#options = options
    this.failed = this.#failed.promise
    this.#deadline = new StepDeadline(options.stepTimeoutMs, () => this.#passDeadline())
  }

  static async launch(launch: LaunchRanks, options: RankGroupOptions): Promise<RankGroup> {
    const group = new RankGroup(options)
    const ranks = await launch(group).catch((error: unknown) => {
      throw group.#failure ?? error
    })
    group.#ranks = ranks
    group.#calls = ranks.links.map(() => [])
    if (group.#failure !== null) {
      await ranks.end(true)
      throw group.#failure
    }
    return group
  }

  get links(): readonly RankLink[] {
    return this.#ranks?.links ?? []
  }

  get workers(): Parameters<typeof initializeWorkers>[0] {
    return this.links.map((_, rank) => ({
      load: () => this.#call(rank, { type: 'load' }) as Promise<LoadedModel>,
      availableKvBytes: () => this.#call(rank, { type: 'availableKvBytes' }) as Promise<number>,
      createKvCache: (numBlocks) => this.#call(rank, { type: 'createKvCache', numBlocks }) as Promise<void>,
      warmUp: (maxModelLen) => this.#call(rank, { type: 'warmUp', maxModelLen }) as Promise<WarmupReport | null>,
    }))
  }

  /** As `ModelWorker.expertBalance`. */
  expertBalance(rank: number): Promise<ExpertBalanceReport | null> {
    return this.#call(rank, { type: 'expertBalance' }) as Promise<ExpertBalanceReport | null>
  }

  /** Of every rank: given back, or made anew. */
  async toggleKvCache(type: 'releaseKvCache' | 'restoreKvCache'): Promise<void> {
    await Promise.all(this.links.map((_, rank) => this.#call(rank, { type })))
  }

  /** All at once: ranks wait for each other. */
  setUp(setupOf: (rank: number, link: RankLink, threadGroup: unknown) => RankSetup): Promise<RankIdentity[]> {
    return Promise.all(
      this.links.map((link, rank) =>
        this.#call(rank, { type: 'setup', setup: setupOf(rank, link, this.#ranks?.threadGroup) }),
      ),
    ) as Promise<RankIdentity[]>
  }

  /** Of plans in flight each rank runs one after the other, in the order of the calls. */
  async execute(plan: SchedulerOutput): Promise<ModelRunnerOutput> {
    this.#isServing = true
    this.#deadline.begin()
    const outputs = this.links.map((_, rank) => this.#call(rank, { type: 'execute', plan }))
    // The others have nothing to say; if they fail, all do.
    for (const output of outputs) output.catch(() => {})
    try {
      return (await outputs[this.#options.outputRank]) as ModelRunnerOutput
    } finally {
      this.#deadline.end()
    }
  }

  /** As `Executor.compileGrammar`, by the rank that draws. */
  compileGrammar(spec: GrammarSpec): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    if (this.#failure !== null) reject(this.#failure)
    else {
      const id = this.#numGrammars++
      this.#grammars.set(id, { resolve, reject })
      this.links[this.#options.outputRank]?.post({ type: 'compileGrammar', id, spec })
    }
    return promise as Promise<void>
  }

  onMessage(rank: number, message: FromRank): void {
    if (this.#failure !== null || this.#isEnding) return
    switch (message.type) {
      case 'progress':
        this.#progress.set(rank, message)
        return this.#reportProgress()
      case 'result':
        return this.#calls[rank]?.shift()?.resolve(message.value)
      case 'grammar':
        return this.#receiveGrammar(message)
      case 'failed':
        return this.#hearFailure(rank, fromTransferredError(message.error))
    }
  }

  onLost(rank: number | null, reason: Error): void {
    this.#fail(rank, reason)
  }

  /** Resolves, within seconds, when nothing of the ranks is left. */
  async end(): Promise<void> {
    if (this.#isEnding || this.#failure !== null) return this.#ended
    this.#isEnding = true
    this.#deadline.close()
    this.#rejectCalls(new RankFailedError(null, 'The ranks were ended.'))
    this.#ended = this.#ranks?.end(false) ?? Promise.resolve()
    await this.#ended
  }

  #call(rank: number, message: ToRank): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    if (this.#failure !== null) reject(this.#failure)
    else {
      this.#calls[rank]?.push({ resolve, reject })
      this.links[rank]?.post(message)
    }
    return promise
  }

  #receiveGrammar({ id, error }: Extract<FromRank, { type: 'grammar' }>): void {
    const call = this.#grammars.get(id)
    this.#grammars.delete(id)
    if (error === null) call?.resolve(undefined)
    else call?.reject(fromTransferredError(error))
  }

  #reportProgress(): void {
    const all = [...this.#progress.values()]
    const sum = (of: (progress: Progress) => number): number => all.reduce((total, each) => total + of(each), 0)
    this.#options.onProgress(
      sum(({ loadedBytes }) => loadedBytes),
      sum(({ totalBytes }) => totalBytes),
    )
  }

  /** That a group was aborted is never the cause: it has failed somewhere else. */
  #hearFailure(rank: number, error: Error): void {
    if (error.name === 'CollectiveTimeoutError') return this.#failSlow(missingRanks(error))
    if (error.name !== 'ProcessGroupAbortedError') return this.#fail(rank, error)
    if (this.#hasSymptom) return
    this.#hasSymptom = true
    setTimeout(() => this.#fail(rank, error), causeDelayMs)
  }

  #passDeadline(): void {
    this.#failSlow(this.#calls.flatMap((calls, rank) => (calls.length > 0 ? [rank] : [])))
  }

  #failSlow(ranks: readonly number[]): void {
    const names = ranks.map((rank) => this.links[rank]?.name ?? `rank ${rank}`)
    const [only = null] = ranks.length === 1 ? ranks : []
    const { stepTimeoutMs } = this.#options
    const message = `${names.join(' and ') || 'The ranks'} did not finish a step within ${stepTimeoutMs} ms (stepTimeoutMs); raise it if steps may take that long`
    this.#fail(only, new RankFailedError(only, message))
  }

  #fail(rank: number | null, cause: Error): void {
    if (this.#failure !== null || this.#isEnding) return
    this.#failure = this.#describe(rank, cause)
    this.#deadline.close()
    this.#rejectCalls(this.#failure)
    this.#ranks?.abort(cause.message)
    this.#ended = this.#ranks?.end(true) ?? Promise.resolve()
    this.#failed.resolve(this.#failure)
  }

  /** What is wrong with options, files or memory is said as it is: it would be so on one rank, too. */
  #describe(rank: number | null, cause: Error): Error {
    if (cause instanceof RankFailedError || (!this.#isServing && OctavoError.isInstance(cause))) return cause
    const name = rank === null ? 'The group of ranks' : (this.links[rank]?.name ?? `rank ${rank}`)
    return new RankFailedError(rank, `${name} failed: ${cause.message}`, { cause })
  }

  #rejectCalls(error: Error): void {
    for (const { reject } of [...this.#calls.flat(), ...this.#grammars.values()]) reject(error)
    this.#grammars.clear()
    this.#calls = this.#calls.map(() => [])
  }
}

/** For whom another waited in vain; the error's class stays behind in the rank's thread. */
function missingRanks(error: Error): readonly number[] {
  const ranks: unknown = 'missingRanks' in error ? error.missingRanks : []
  return Array.isArray(ranks) ? ranks.filter((rank) => Number.isInteger(rank)) : []
}
