import { ContextLengthError, InvalidRequestError } from '../errors.ts'
import { type AllocatedSlots, KvCacheManager } from '../kv-cache/kv-cache-manager.ts'
import type { FinishReason } from '../sequence/outputs.ts'
import { Sequence, type SequenceRequest } from '../sequence/sequence.ts'
import { assert } from '../util/assert.ts'
import { canShareKv, numForkedTokens } from './fork.ts'
import { PromptLogprobsCollector } from './prompt-logprobs.ts'
import { comparePriority, createRequestQueue, type RequestQueue } from './request-queue.ts'
import { resolveSchedulerConfig, type SchedulerConfig, type SchedulerConfigInput } from './scheduler-config.ts'
import type { ModelRunnerOutput, SampledToken, SchedulerOutput } from './scheduler-output.ts'
import type { SchedulerStats } from './scheduler-stats.ts'
import type { SequenceUpdate } from './sequence-update.ts'
import { type StepEntry, StepPlan } from './step-plan.ts'
import { checkStop } from './stop.ts'

interface StepInFlight {
  readonly plan: SchedulerOutput
  readonly entries: readonly StepEntry[]
}

/**
 * Decides what each step computes (vLLM's v1 scheduler).
 *
 * There is no prefill phase and no decode phase: each step hands out a budget of tokens so that every sequence's
 * `numComputedTokens` catches up with its `numTokens`. Running sequences come first, in order; then waiting ones, unless
 * the step had to preempt. A preempted sequence loses its blocks, keeps its output, and computes both again later.
 *
 * One step at a time: `schedule`, run the plan, `updateFromOutput`. Sequences may be added and aborted in between.
 */
export class Scheduler {
  readonly config: SchedulerConfig
  /** Prompt and output tokens of a sequence at most: the model's limit, or what the KV cache holds if that is less. */
  readonly maxModelLen: number
  readonly #kvCache: KvCacheManager
  readonly #waiting: RequestQueue
  /** Everything unfinished, by id. */
  readonly #sequences = new Map<string, Sequence>()
  /** By object, for ids may be used again once their sequence has ended. */
  readonly #leaders = new WeakMap<Sequence, Sequence>()
  readonly #promptLogprobs = new PromptLogprobsCollector()
  #running: Sequence[] = []
  /** Since the last plan: what the runner must forget. */
  #droppedIds: string[] = []
  #inFlight: StepInFlight | null = null
  #nextOrdinal = 0
  #numPreemptions = 0
  #numPromptTokens = 0
  #numGenerationTokens = 0
  #numSteps = 0

  constructor(config: SchedulerConfigInput, kvCache?: KvCacheManager) {
    this.config = resolveSchedulerConfig(config)
    this.#kvCache = kvCache ?? new KvCacheManager(this.config)
    this.maxModelLen = Math.min(this.config.maxModelLen, this.#kvCache.capacity)
    this.#waiting = createRequestQueue(this.config.policy)
  }

  /**
   * A leader must be added before the samples that fork from it.
   * @throws ContextLengthError if the prompt leaves no room for a token in the model's context.
   * @throws InvalidRequestError if it leaves none in the whole KV cache, or if the id is in use.
   */
  addSequence(request: SequenceRequest): void {
    this.#checkLength(request)
    if (this.#sequences.has(request.id)) {
      throw new InvalidRequestError(
        `A request with the id ${JSON.stringify(request.id)} has not ended yet. Choose another id.`,
        'requestId',
      )
    }
    const sequence = new Sequence(request, this.#nextOrdinal++)
    const leader = request.forkOf === null ? undefined : this.#sequences.get(request.forkOf)
    if (leader !== undefined) {
      assert(canShareKv(leader, sequence), `samples ${leader.id} and ${sequence.id} have different prompts`)
      this.#leaders.set(sequence, leader)
    }
    this.#sequences.set(sequence.id, sequence)
    this.#waiting.add(sequence)
  }

  /**
   * Ends a sequence in whatever state; no update will mention it. Its blocks are free at once, or after the step in
   * flight if that writes to them.
   * @returns false if there is no such sequence (any more).
   */
  abortSequence(id: string): boolean {
    const sequence = this.#sequences.get(id)
    if (sequence === undefined) return false
    const isRunning = sequence.status === 'running'
    if (!isRunning) this.#waiting.remove(sequence)
    this.#end(sequence, 'abort', null)
    this.#running = this.#running.filter((other) => other !== sequence)
    if (isRunning && !this.#isInFlight(sequence)) this.#kvCache.free(sequence)
    return true
  }

  hasUnfinished(): boolean {
    return this.#sequences.size > 0
  }

  /** The next step. It may be empty, with ids to drop at most. */
  schedule(): SchedulerOutput {
    assert(this.#inFlight === null, 'schedule() before the update from the last plan')
    const step = new StepPlan(this.config.maxNumBatchedTokens)
    const hasPreempted = this.#scheduleRunning(step)
    if (!hasPreempted) this.#scheduleWaiting(step)
    const plan = step.build((sequence) => this.#kvCache.blockIds(sequence), this.#droppedIds)
    this.#droppedIds = []
    this.#inFlight = { plan, entries: step.entries() }
    return plan
  }

  /** Accounts for an executed plan. @returns one update per sequence that got a token, in batch order. */
  updateFromOutput(plan: SchedulerOutput, output: ModelRunnerOutput): SequenceUpdate[] {
    const step = this.#inFlight
    assert(step !== null && step.plan === plan, 'update from a plan that is not in flight')
    this.#inFlight = null
    this.#numSteps++
    const sampled = new Map(output.sampled.map((token) => [token.id, token]))
    const promptLogprobs = new Map(output.promptLogprobs.map((part) => [part.id, part]))
    const updates: SequenceUpdate[] = []
    for (const { sequence, numTokens } of step.entries) {
      sequence.numComputedTokens += numTokens
      if (sequence.status === 'finished') {
        this.#kvCache.free(sequence)
        continue
      }
      this.#promptLogprobs.add(sequence, promptLogprobs.get(sequence.id))
      if (sequence.numComputedTokens === sequence.numTokens)
        updates.push(this.#acceptToken(sequence, sampled.get(sequence.id)))
    }
    this.#running = this.#running.filter((sequence) => sequence.status === 'running')
    return updates
  }

  stats(): SchedulerStats {
    const { queries, hits } = this.#kvCache.prefixCacheStats
    return {
      numRunningSeqs: this.#running.length,
      numWaitingSeqs: this.#waiting.size,
      kvCacheUsage: this.#kvCache.usage,
      numKvBlocks: this.config.numBlocks,
      numUnfilledKvSlots: this.#kvCache.numUnfilledSlots,
      numPreemptions: this.#numPreemptions,
      promptTokens: this.#numPromptTokens,
      generationTokens: this.#numGenerationTokens,
      prefixCacheQueries: queries,
      prefixCacheHits: hits,
      numSteps: this.#numSteps,
    }
  }

  /** @returns true if a sequence was preempted. */
  #scheduleRunning(step: StepPlan): boolean {
    const numPreemptionsBefore = this.#numPreemptions
    for (const sequence of [...this.#running]) {
      if (step.budget === 0) break
      // Preempted, in this loop, for the sake of one before it.
      if (sequence.status !== 'running') continue
      const numTokens = this.#numTokensToCompute(sequence, sequence.numComputedTokens, step.budget)
      assert(numTokens !== null && numTokens > 0, `running sequence ${sequence.id} has nothing to compute`)
      const slots = this.#allocateOrPreempt(sequence, numTokens, step)
      if (slots !== null) step.add({ sequence, numTokens, isNew: false, slots })
    }
    return this.#numPreemptions > numPreemptionsBefore
  }

  /** Preempts others until there is room; `null` if it came to `sequence` itself. */
  #allocateOrPreempt(sequence: Sequence, numTokens: number, step: StepPlan): AllocatedSlots | null {
    while (sequence.status === 'running') {
      const slots = this.#kvCache.allocateSlots(sequence, numTokens)
      if (slots !== null) return slots
      this.#preempt(this.#chooseVictim(), step)
    }
    return null
  }

  /** The last come is the first to go; with priorities, the least urgent, although it may be in this step already. */
  #chooseVictim(): Sequence {
    const { policy } = this.config
    const victim = policy === 'fcfs' ? this.#running.at(-1) : this.#running.toSorted(comparePriority).at(-1)
    assert(victim !== undefined, 'nothing to preempt')
    return victim
  }

  /**
   * NOTE: the victim may be in this step, its full blocks registered but never to be filled. `free` takes their names
   * back, and nobody can have found them before: only waiting sequences look, and their turn comes after all preemption.
   */
  #preempt(sequence: Sequence, step: StepPlan): void {
    step.remove(sequence)
    this.#running = this.#running.filter((other) => other !== sequence)
    this.#kvCache.free(sequence)
    sequence.status = 'preempted'
    sequence.numComputedTokens = 0
    sequence.numPreemptions++
    this.#numPreemptions++
    this.#droppedIds.push(sequence.id)
    this.#waiting.prepend(sequence)
  }

  #scheduleWaiting(step: StepPlan): void {
    const skipped: Sequence[] = []
    while (step.budget > 0 && this.#running.length < this.config.maxNumSeqs) {
      const sequence = this.#waiting.peek()
      if (sequence === null) break
      if (this.#mustAwaitLeader(sequence)) skipped.push(sequence)
      else if (!this.#tryAdmit(sequence, step)) break
      this.#waiting.pop()
    }
    for (const sequence of skipped.reverse()) this.#waiting.prepend(sequence)
  }

  #tryAdmit(sequence: Sequence, step: StepPlan): boolean {
    const admitted =
      this.#runningLeader(sequence) === null ? this.#tryStart(sequence, step) : this.#tryFork(sequence, step)
    if (admitted) {
      sequence.status = 'running'
      this.#running.push(sequence)
    }
    return admitted
  }

  /** Starts from what the prefix cache holds. */
  #tryStart(sequence: Sequence, step: StepPlan): boolean {
    const computed = this.#kvCache.getComputedBlocks(sequence)
    const numTokens = this.#numTokensToCompute(sequence, computed.numTokens, step.budget)
    if (numTokens === null) return false
    const slots = this.#kvCache.allocateSlots(sequence, numTokens, { computed, ...this.#admissionLimits(sequence) })
    if (slots === null) return false
    sequence.numComputedTokens = computed.numTokens
    sequence.numCachedTokens ??= computed.numTokens
    step.add({ sequence, numTokens, isNew: true, slots })
    return true
  }

  /** Starts from its leader's blocks. It computes the last prompt token itself, for its own sample. */
  #tryFork(sequence: Sequence, step: StepPlan): boolean {
    const leader = this.#runningLeader(sequence)
    assert(leader !== null, `sequence ${sequence.id} has no leader to fork from`)
    const numShared = numForkedTokens(sequence)
    const numTokens = this.#numTokensToCompute(sequence, numShared, step.budget)
    if (numTokens === null) return false
    this.#kvCache.fork(leader, sequence, numShared)
    sequence.numComputedTokens = numShared
    const slots = this.#kvCache.allocateSlots(sequence, numTokens, this.#admissionLimits(sequence))
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
  #admissionLimits(sequence: Sequence): { numTokensToFit: number; numBlocksToLeave: number } {
    const { watermark, numBlocks } = this.config
    const numBlocksToLeave = this.#running.length === 0 ? 0 : Math.floor(watermark * numBlocks)
    return { numTokensToFit: sequence.numTokens, numBlocksToLeave }
  }

  /** How far the sequence gets within the budget; `null` if it may only go in one piece, which is larger. */
  #numTokensToCompute(sequence: Sequence, numComputedTokens: number, budget: number): number | null {
    const { enableChunkedPrefill, longPrefillTokenThreshold } = this.config
    const numLeft = sequence.numTokens - numComputedTokens
    if (!enableChunkedPrefill) return numLeft <= budget ? numLeft : null
    return Math.min(numLeft, budget, longPrefillTokenThreshold > 0 ? longPrefillTokenThreshold : Infinity)
  }

  /** `null`: there is none (any more), or it has no blocks to share. */
  #runningLeader(sequence: Sequence): Sequence | null {
    const leader = this.#leaders.get(sequence)
    return leader?.status === 'running' ? leader : null
  }

  /** Rather than computing the prompt once more beside its leader. What the leader computes in this very step cannot be copied yet. */
  #mustAwaitLeader(sequence: Sequence): boolean {
    const leader = this.#runningLeader(sequence)
    return leader !== null && leader.numComputedTokens < numForkedTokens(sequence)
  }

  #acceptToken(sequence: Sequence, sampled: SampledToken | undefined): SequenceUpdate {
    assert(sampled !== undefined, `no token was sampled for sequence ${sequence.id}`)
    const isFirst = sequence.numOutputTokens === 0
    sequence.appendOutputToken(sampled.tokenId)
    this.#numGenerationTokens++
    if (isFirst && sequence.forkOf === null) this.#numPromptTokens += sequence.numPromptTokens
    const stop = checkStop(sequence, this.maxModelLen)
    const promptLogprobs = this.#promptLogprobs.take(sequence)
    if (stop !== null) {
      this.#end(sequence, stop.finishReason, stop.stopReason)
      this.#kvCache.free(sequence)
    }
    return {
      id: sequence.id,
      newTokenIds: [sampled.tokenId],
      logprobs: sampled.logprobs === null ? null : [sampled.logprobs],
      promptLogprobs,
      finishReason: sequence.finishReason,
      stopReason: sequence.stopReason,
      numCachedTokens: sequence.numCachedTokens ?? 0,
    }
  }

  /** The caller sees to blocks and queues, which depend on where the sequence was. */
  #end(sequence: Sequence, reason: FinishReason, stopReason: number | null): void {
    if (sequence.status === 'running') this.#droppedIds.push(sequence.id)
    sequence.finish(reason, stopReason)
    this.#sequences.delete(sequence.id)
    this.#promptLogprobs.forget(sequence)
  }

  #isInFlight(sequence: Sequence): boolean {
    return this.#inFlight !== null && this.#inFlight.entries.some((entry) => entry.sequence === sequence)
  }

  #checkLength({ promptTokenIds }: SequenceRequest): void {
    const numPromptTokens = promptTokenIds.length
    if (numPromptTokens >= this.config.maxModelLen)
      throw new ContextLengthError(numPromptTokens, this.config.maxModelLen)
    if (numPromptTokens < this.maxModelLen) return
    throw new InvalidRequestError(
      `The prompt has ${numPromptTokens} tokens, but the KV cache holds ${this.maxModelLen} and at least one must be left for the output. Shorten the prompt, or give the KV cache more memory.`,
      'prompt',
    )
  }
}
