import type { KvCacheManager } from '../kv-cache/kv-cache-manager.ts'
import type { Sequence } from '../sequence/sequence.ts'
import { assert } from '../util/assert.ts'
import { canShareKv, numForkedTokens } from './fork.ts'
import { numTokensToCompute } from './num-tokens-to-compute.ts'
import type { RequestQueue } from './request-queue.ts'
import type { SchedulerConfig } from './scheduler-config.ts'
import type { StepPlan } from './step-plan.ts'

export interface AdmissionLimits {
  readonly numRunning: number
  readonly maxRunning: number
}

/** Sequences that wait, new ones and preempted ones, and what lets them run: from the prefix cache, or from a leader's blocks. */
export class Admission {
  readonly #config: SchedulerConfig
  readonly #kvCache: KvCacheManager
  readonly #waiting: RequestQueue
  /** By object, for ids may be used again once their sequence has ended. */
  readonly #leaders = new WeakMap<Sequence, Sequence>()

  constructor(config: SchedulerConfig, kvCache: KvCacheManager) {
    this.#config = config
    this.#kvCache = kvCache
    this.#waiting = config.policy.createQueue()
  }

  get numWaiting(): number {
    return this.#waiting.size
  }

  /** `leader`: whose prompt it shares; `null` if it is nobody's sample, or its leader has ended. */
  add(sequence: Sequence, leader: Sequence | null): void {
    if (leader !== null) {
      assert(canShareKv(leader, sequence), `samples ${leader.id} and ${sequence.id} have different prompts`)
      this.#leaders.set(sequence, leader)
    }
    this.#waiting.add(sequence)
  }

  /** One that was preempted, which has no blocks any more. */
  putBack(sequence: Sequence): void {
    this.#waiting.prepend(sequence)
  }

  remove(sequence: Sequence): void {
    this.#waiting.remove(sequence)
  }

  /** Takes those into the step that come next and fit. @returns them, which run now. */
  admit(step: StepPlan, { numRunning, maxRunning }: AdmissionLimits): Sequence[] {
    const admitted: Sequence[] = []
    const skipped: Sequence[] = []
    while (step.budget > 0 && numRunning + admitted.length < maxRunning) {
      const sequence = this.#waiting.peek()
      if (sequence === null) break
      if (this.#mustAwaitLeader(sequence)) skipped.push(sequence)
      else if (this.#tryAdmit(sequence, step, numRunning + admitted.length)) admitted.push(sequence)
      else break
      this.#waiting.pop()
    }
    for (const sequence of skipped.reverse()) this.#waiting.prepend(sequence)
    return admitted
  }

  #tryAdmit(sequence: Sequence, step: StepPlan, numRunning: number): boolean {
    const leader = this.#runningLeader(sequence)
    const limits = this.#slotLimits(sequence, numRunning)
    const admitted =
      leader === null ? this.#tryStart(sequence, step, limits) : this.#tryFork(sequence, step, { leader, ...limits })
    if (admitted) sequence.status = 'running'
    return admitted
  }

  /** Starts from what the prefix cache holds. */
  #tryStart(sequence: Sequence, step: StepPlan, limits: SlotLimits): boolean {
    const computed = this.#kvCache.getComputedBlocks(sequence)
    const numComputedTokens = computed.numTokens
    const numTokens = numTokensToCompute(sequence, this.#config, { numComputedTokens, budget: step.budget })
    if (numTokens === null) return false
    const slots = this.#kvCache.allocateSlots(sequence, numTokens, { computed, ...limits })
    if (slots === null) return false
    sequence.numComputedTokens = numComputedTokens
    sequence.numCachedTokens ??= numComputedTokens
    step.add({ sequence, numTokens, isNew: true, slots })
    return true
  }

  /** Starts from its leader's blocks. It computes the last prompt token itself, for its own sample. */
  #tryFork(sequence: Sequence, step: StepPlan, { leader, ...limits }: SlotLimits & { leader: Sequence }): boolean {
    const numComputedTokens = numForkedTokens(sequence)
    const numTokens = numTokensToCompute(sequence, this.#config, { numComputedTokens, budget: step.budget })
    if (numTokens === null) return false
    this.#kvCache.fork(leader, sequence, numComputedTokens)
    sequence.numComputedTokens = numComputedTokens
    const slots = this.#kvCache.allocateSlots(sequence, numTokens, limits)
    if (slots === null) {
      this.#kvCache.free(sequence)
      sequence.numComputedTokens = 0
      return false
    }
    sequence.numCachedTokens ??= leader.numCachedTokens
    step.add({ sequence, numTokens, isNew: true, slots })
    return true
  }

  /** All its tokens must fit, or it would be preempted half-way. With nothing running there is nothing to leave room for. */
  #slotLimits({ numTokens }: Sequence, numRunning: number): SlotLimits {
    const { watermark, numBlocks } = this.#config
    return { numTokensToFit: numTokens, numBlocksToLeave: numRunning === 0 ? 0 : Math.floor(watermark * numBlocks) }
  }

  /** `null`: there is none (any more), or it has no blocks to share. */
  #runningLeader(sequence: Sequence): Sequence | null {
    const leader = this.#leaders.get(sequence)
    return leader?.status === 'running' ? leader : null
  }

  /**
   * Rather than computing the prompt once more beside its leader. What the leader computes in this very step cannot be
   * copied yet; in a plan in flight it can, for that runs first.
   */
  #mustAwaitLeader(sequence: Sequence): boolean {
    const leader = this.#runningLeader(sequence)
    return leader !== null && leader.numComputedTokens < numForkedTokens(sequence)
  }
}

interface SlotLimits {
  readonly numTokensToFit: number
  readonly numBlocksToLeave: number
}
