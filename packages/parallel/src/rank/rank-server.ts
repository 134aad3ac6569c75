import { type ExpertBalanceReport, type GrammarSpec, toTransferredError, type Worker } from '@octavo/core/engine'
import type { PipelineStage } from '../pipeline-stage.ts'
import type { ControlAddress } from '../control/control-server.ts'
import type { FromRank, RankIdentity, RankSetup, ToRank } from './rank-messages.ts'

/** A rank that has its place among the others. */
export interface Rank {
  readonly identity: RankIdentity
  readonly worker: Omit<Worker, 'execute' | 'compileGrammar' | 'dispose'>
  readonly stage: Pick<PipelineStage, 'execute'>
  expertBalance(): ExpertBalanceReport | null
  compileGrammar(spec: GrammarSpec): Promise<void>
  /** Wakes ranks that wait for this one. */
  abort(reason: string): void
  /** Leaves the group and frees what the rank holds. */
  end(): void
}

export interface RankServerOptions {
  shareAddress(address: ControlAddress | null): ControlAddress
  createRank(setup: RankSetup, onProgress: (loadedBytes: number, totalBytes: number) => void): Promise<Rank>
  post(message: FromRank): void
  /** Nothing will be asked any more. */
  onEnd(): void
}

/** Answers a driver's calls one after the other. A call that fails is the last one that is answered. */
export class RankServer {
  readonly #options: RankServerOptions
  #rank: Rank | null = null
  #hasFailed = false
  #last: Promise<void> = Promise.resolve()

  constructor(options: RankServerOptions) {
    this.#options = options
  }

  receive(message: ToRank): void {
    this.#last = this.#last.then(() => this.#answer(message))
  }

  async #answer(message: ToRank): Promise<void> {
    const { post, onEnd } = this.#options
    if (message.type === 'end') {
      if (!this.#hasFailed) this.#rank?.end()
      return onEnd()
    }
    if (this.#hasFailed) return
    if (message.type === 'compileGrammar') return void this.#compileGrammar(message.id, message.spec)
    try {
      post({ type: 'result', value: await this.#run(message) })
    } catch (error) {
      this.#hasFailed = true
      post({ type: 'failed', error: toTransferredError(error) })
      this.#rank?.abort(error instanceof Error ? error.message : String(error))
    }
  }

  async #run(message: Exclude<ToRank, { type: 'end' | 'compileGrammar' }>): Promise<unknown> {
    if (message.type === 'join') return this.#options.shareAddress(message.address)
    if (message.type === 'setup') {
      this.#rank = await this.#options.createRank(message.setup, (loadedBytes, totalBytes) =>
        this.#options.post({ type: 'progress', loadedBytes, totalBytes }),
      )
      return this.#rank.identity
    }
    if (this.#rank === null) throw new Error('a rank without its setup')
    const { worker, stage } = this.#rank
    switch (message.type) {
      case 'load':
        return worker.load()
      case 'availableKvBytes':
        return worker.availableKvBytes()
      case 'expertBalance':
        return this.#rank.expertBalance()
      case 'createKvCache':
        return worker.createKvCache(message.numBlocks)
      case 'releaseKvCache':
        return worker.releaseKvCache()
      case 'restoreKvCache':
        return worker.restoreKvCache()
      case 'warmUp':
        return worker.warmUp(message.maxModelLen)
      case 'execute':
        return stage.execute(message.plan)
    }
  }

  async #compileGrammar(id: number, spec: GrammarSpec): Promise<void> {
    const error = await this.#rank?.compileGrammar(spec).then(() => null, toTransferredError)
    this.#options.post({ type: 'grammar', id, error: error ?? null })
  }
}
