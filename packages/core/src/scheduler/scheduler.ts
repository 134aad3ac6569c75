import type { TransferredError } from '../error-transfer.ts'
import { ContextLengthError, InvalidRequestError } from '../errors.ts'
import { type AllocatedSlots, KvCacheManager } from '../kv-cache/kv-cache-manager.ts'
import type { FinishReason } from '../sequence/outputs.ts'
import { packLogprobs } from '../sequence/packed-logprobs.ts'
import { Sequence, type SequenceRequest } from '../sequence/sequence.ts'
import { assert } from '../util/assert.ts'
import { Admission } from './admission.ts'
import type { DraftProposer } from './draft-proposer.ts'
import { numTokensToCompute } from './num-tokens-to-compute.ts'
import { isDecoding, planShare, type PlanShare } from './plan-share.ts'
import { type InFlightEntry, PlansInFlight } from './plans-in-flight.ts'
import { PromptLogprobsCollector } from './prompt-logprobs.ts'
import { resolveSchedulerConfig, type SchedulerConfig, type SchedulerConfigInput } from './scheduler-config.ts'
import type { ModelRunnerOutput, PooledSequence, SampledTokens, SchedulerOutput } from './scheduler-output.ts'
import type { SchedulerStats } from './scheduler-stats.ts'
import type { SequenceUpdate } from './sequence-update.ts'
import { StepCounts } from './step-counts.ts'
import { type PlannedEntry, StepPlan } from './step-plan.ts'
import { checkStop, numTokensLeft, type Stop } from './stop.ts'

/** What a scheduler makes itself where it is not given. */
export interface SchedulerParts {
  readonly kvCache?: KvCacheManager
  /** Milliseconds, for the times of sequences; by default since 1970, and never backwards. */
  readonly clock?: () => number
  /** `null`, the default: no drafts. */
  readonly draftProposer?: DraftProposer | null
}

/**
 * Decides what each step computes (vLLM's v1 scheduler).
 *
 * There is no prefill phase and no decode phase: each step hands out a budget of tokens so that every sequence's
 * `numComputedTokens` catches up with its `numTokens`. Running sequences come first, in order; then waiting ones, unless
 * the step had to preempt. A preempted sequence loses its blocks, keeps its output, and computes both again later.
 *
 * `schedule`, run the plan, `updateFromOutput`; several plans may be in flight, and return in their order. What a plan
 * computes counts as computed once it is scheduled, so that the next one goes on behind it, and the blocks of a sequence
 * are not free before its last plan has returned. Sequences may be added and aborted at any time.
 */
export class Scheduler {
  readonly config: SchedulerConfig
  /** Prompt and output tokens of a sequence at most: the model's limit, or what the KV cache holds if that is less. */
  readonly maxModelLen: number
  readonly #kvCache: KvCacheManager
  readonly #admission: Admission
  /** Everything unfinished, by id. */
  readonly #sequences = new Map<string, Sequence>()
  readonly #promptLogprobs = new PromptLogprobsCollector()
  readonly #inFlight = new PlansInFlight()
  readonly #clock: () => number
  readonly #draftProposer: DraftProposer | null
  readonly #stepCounts: StepCounts
  #running: Sequence[] = []
  /** Since the last plan: what the runner must forget. */
  readonly #droppedIds = new Set<string>()
  #nextOrdinal = 0
  #numPreemptions = 0
  #numPromptTokens = 0
  #numGenerationTokens = 0

  constructor(config: SchedulerConfigInput, { kvCache, clock, draftProposer = null }: SchedulerParts = {}) {
    this.config = resolveSchedulerConfig(config)
    this.#kvCache = kvCache ?? new KvCacheManager(this.config)
    this.#clock = clock ?? (() => performance.timeOrigin + performance.now())
    this.#draftProposer = draftProposer
    this.#stepCounts = new StepCounts({ hasDrafts: draftProposer !== null })
    this.maxModelLen = Math.min(this.config.maxModelLen, this.#kvCache.capacity)
    this.#admission = new Admission(this.config, this.#kvCache)
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
    const sequence = new Sequence(request, { ordinal: this.#nextOrdinal++, queuedMs: this.#clock() })
    const leader = request.forkOf === null ? null : (this.#sequences.get(request.forkOf) ?? null)
    this.#admission.add(sequence, leader)
    this.#sequences.set(sequence.id, sequence)
  }

  /**
   * Ends a sequence in whatever state; no update will mention it. Its blocks are free at once, or after the last plan in
   * flight that writes to them.
   * @returns false if there is no such sequence (any more).
   */
  abortSequence(id: string): boolean {
    const sequence = this.#sequences.get(id)
    if (sequence === undefined) return false
    const isRunning = sequence.status === 'running'
    if (!isRunning) this.#admission.remove(sequence)
    this.#end(sequence, 'abort')
    this.#running = this.#running.filter((other) => other !== sequence)
    if (isRunning) this.#releaseBlocks(sequence)
    return true
  }

  /** As `KvCacheManager.resetPrefixCache`. */
  resetPrefixCache(): void {
    this.#kvCache.resetPrefixCache()
  }

  hasUnfinished(): boolean {
    return this.#sequences.size > 0
  }

  /**
   * The next step: empty, with ids to drop at most, where there is nothing to compute, or `null` where that is so only
   * until a plan in flight returns.
   */
  schedule(): SchedulerOutput | null {
    const share = planShare(this.config, {
      running: this.#running,
      numWaiting: this.#admission.numWaiting,
      numPlansInFlight: this.#inFlight.size,
    })
    const step = new StepPlan(share.numTokens)
    const hasRoom = this.#scheduleRunning(step, share)
    // What was planned may have been preempted, and the rest passed over.
    while (step.isEmpty && this.#inFlight.size === 0 && this.#running.length > 0) this.#scheduleRunning(step, share)
    if (hasRoom) this.#admitWaiting(step, share)
    if (step.isEmpty && this.#inFlight.size > 0) return null
    const plan = step.build((sequence) => this.#kvCache.blockIds(sequence), [...this.#droppedIds])
    this.#droppedIds.clear()
    this.#inFlight.add(plan, step.entries(), this.#clock())
    return plan
  }

  /** Accounts for an executed plan, the oldest in flight. @returns one update per sequence that got tokens or failed, in batch order. */
  updateFromOutput(plan: SchedulerOutput, output: ModelRunnerOutput): SequenceUpdate[] {
    const entries = this.#inFlight.take(plan)
    this.#stepCounts.addStep(plan)
    const sampled = new Map(output.sampled.map((tokens) => [tokens.id, tokens]))
    const promptLogprobs = new Map(output.promptLogprobs.map((part) => [part.id, part]))
    const errors = new Map(output.failed.map(({ id, error }) => [id, error]))
    const deferred = new Set(output.deferred)
    const pooled = new Map(output.pooled?.map((vectors) => [vectors.id, vectors]))
    const updates: SequenceUpdate[] = []
    for (const entry of entries) {
      const { sequence } = entry
      const error = errors.get(sequence.id)
      if (error !== undefined) updates.push(...this.#fail(entry, error))
      else if (sequence.status === 'finished') this.#releaseBlocks(sequence)
      else {
        this.#promptLogprobs.add(sequence, promptLogprobs.get(sequence.id))
        if (deferred.has(sequence.id)) sequence.numComputedTokens--
        else if (entry.isCatchingUp && sequence.pooling !== null)
          updates.push(this.#acceptPooled(sequence, pooled.get(sequence.id)))
        else if (entry.isCatchingUp) updates.push(this.#acceptTokens(entry, sampled.get(sequence.id)))
      }
    }
    this.#running = this.#running.filter((sequence) => sequence.status === 'running')
    return updates
  }

  /**
   * Accounts for a plan that the executor could not run, once no plan in flight runs any more: those behind it are lost
   * too, for they may read what it should have written. The runner may have taken them in or not.
   * @returns an update for each sequence that ends by it. The others go on.
   */
  failPlansInFlight(error: TransferredError): SequenceUpdate[] {
    const updates: SequenceUpdate[] = []
    for (let plan = this.#inFlight.peek(); plan !== null; plan = this.#inFlight.peek()) {
      for (const id of plan.droppedIds) this.#droppedIds.add(id)
      for (const entry of this.#inFlight.take(plan)) updates.push(...this.#fail(entry, error))
    }
    this.#running = this.#running.filter((sequence) => sequence.status === 'running')
    return updates
  }

  stats(): SchedulerStats {
    const { queries, hits } = this.#kvCache.prefixCacheStats
    return {
      numRunningSeqs: this.#running.length,
      numWaitingSeqs: this.#admission.numWaiting,
      numDeferredSeqs: 0,
      kvCacheUsage: this.#kvCache.usage,
      numKvBlocks: this.config.numBlocks,
      numUnfilledKvSlots: this.#kvCache.numUnfilledSlots,
      numPreemptions: this.#numPreemptions,
      promptTokens: this.#numPromptTokens,
      generationTokens: this.#numGenerationTokens,
      prefixCacheQueries: queries,
      prefixCacheHits: hits,
      ...this.#stepCounts.stats(),
    }
  }

  /** @returns false if blocks ran out, so that nobody must be admitted. */
  #scheduleRunning(step: StepPlan, share: PlanShare): boolean {
    const numPreemptionsBefore = this.#numPreemptions
    const isSplit = share.numDecodes < Infinity
    let numDecodes = 0
    const proposer = this.#draftProposer
    let numBehind = this.#running.length
    for (const sequence of [...this.#running]) {
      if (step.budget === 0) break
      numBehind--
      // Preempted, in this loop, for the sake of one before it; or it waits for its next token.
      if (sequence.status !== 'running' || sequence.isCaughtUp) continue
      if (isSplit && isDecoding(sequence) && ++numDecodes > share.numDecodes) continue
      const { numComputedTokens } = sequence
      const numTokens = numTokensToCompute(sequence, this.config, { numComputedTokens, budget: step.budget })
      assert(numTokens !== null && numTokens > 0, `running sequence ${sequence.id} has nothing to compute`)
      const drafted = proposer && this.#tryWithDrafts(sequence, numTokens, { proposer, budget: step.budget, numBehind })
      const slots = drafted?.slots ?? this.#allocateOrPreempt(sequence, numTokens, step)
      if (slots !== null) step.add(drafted ?? { sequence, numTokens, isNew: false, slots })
      // Its victim is in flight: those behind it must not take what is left.
      else if (this.#isRunning(sequence)) return false
    }
    return this.#numPreemptions === numPreemptionsBefore
  }

  /**
   * Takes drafts along, if the sequence catches up and there are any. They take nobody's place: a token of the budget and
   * a block are left for each of the `numBehind` after it.
   */
  #tryWithDrafts(
    sequence: Sequence,
    numTokens: number,
    { proposer, budget, numBehind }: { proposer: DraftProposer; budget: number; numBehind: number },
  ): PlannedEntry | null {
    if (sequence.pooling !== null || sequence.numComputedTokens + numTokens < sequence.numTokens) return null
    const maxTokens = Math.min(budget - numTokens - numBehind, numTokensLeft(sequence, this.maxModelLen) - 1)
    if (maxTokens <= 0) return null
    const draftTokenIds = proposer.propose(sequence, maxTokens).slice(0, maxTokens)
    const numDraftTokens = draftTokenIds.length
    if (numDraftTokens === 0) return null
    const slots = this.#kvCache.allocateSlots(sequence, numTokens, { numDraftTokens, numBlocksToLeave: numBehind })
    return slots && { sequence, numTokens: numTokens + numDraftTokens, draftTokenIds, isNew: false, slots }
  }

  /**
   * Preempts others until there is room; `null` if it came to `sequence` itself, or to one in flight, whose blocks are
   * not to be had before its plans have returned.
   */
  #allocateOrPreempt(sequence: Sequence, numTokens: number, step: StepPlan): AllocatedSlots | null {
    while (this.#isRunning(sequence)) {
      const slots = this.#kvCache.allocateSlots(sequence, numTokens)
      if (slots !== null) return slots
      const victim = this.config.policy.chooseVictim(this.#running)
      assert(this.#isRunning(victim), `policy ${this.config.policy.name} chose a victim that does not run`)
      if (victim.numPlansInFlight > 0) return null
      this.#preempt(victim, step)
    }
    return null
  }

  #isRunning(sequence: Sequence): boolean {
    return sequence.status === 'running'
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
    this.#droppedIds.add(sequence.id)
    this.#admission.putBack(sequence)
  }

  #admitWaiting(step: StepPlan, { numAdmissions }: PlanShare): void {
    const numRunning = this.#running.length
    const maxRunning = Math.min(this.config.maxNumSeqs, numRunning + numAdmissions)
    this.#running.push(...this.#admission.admit(step, { numRunning, maxRunning }))
  }

  #acceptTokens({ sequence, numDraftTokens }: InFlightEntry, sampled: SampledTokens | undefined): SequenceUpdate {
    assert(sampled !== undefined && sampled.tokenIds.length > 0, `no token was sampled for sequence ${sequence.id}`)
    const numSampled = sampled.tokenIds.length
    assert(numSampled <= numDraftTokens + 1, `${numSampled} tokens for ${numDraftTokens} drafts of ${sequence.id}`)
    this.#stepCounts.addDrafts(numDraftTokens, numSampled - 1)
    this.#countTimes(sequence)
    let stop: Stop | null = null
    let numAccepted = 0
    while (stop === null && numAccepted < numSampled) {
      sequence.appendOutputToken(sampled.tokenIds[numAccepted++]!)
      stop = checkStop(sequence, this.maxModelLen)
    }
    this.#numGenerationTokens += numAccepted
    if (numAccepted > 1) {
      // All but the last are drafts, whose keys and values are there.
      sequence.numComputedTokens += numAccepted - 1
      this.#kvCache.cacheBlocks(sequence)
    }
    const promptLogprobs = this.#promptLogprobs.take(sequence, numAccepted)
    if (stop !== null) {
      this.#end(sequence, stop.finishReason, stop.stopReason)
      this.#releaseBlocks(sequence)
    }
    return updateOf(sequence, {
      newTokenIds: sampled.tokenIds.slice(0, numAccepted),
      logprobs: sampled.logprobs && packLogprobs(sampled.logprobs.slice(0, numAccepted)),
      promptLogprobs: promptLogprobs && packLogprobs(promptLogprobs),
      error: null,
    })
  }

  #acceptPooled(sequence: Sequence, pooled: PooledSequence | undefined): SequenceUpdate {
    assert(pooled !== undefined, `nothing was pooled for sequence ${sequence.id}`)
    this.#countTimes(sequence)
    this.#end(sequence, 'stop')
    this.#releaseBlocks(sequence)
    const { data, shape } = pooled
    const news = { newTokenIds: [], logprobs: null, promptLogprobs: null, error: null }
    return { ...updateOf(sequence, news), pooled: { data, shape } }
  }

  #countTimes(sequence: Sequence): void {
    const nowMs = this.#clock()
    const isFirst = sequence.numOutputTokens === 0
    sequence.times = { ...sequence.times, lastTokenMs: nowMs, ...(isFirst && { firstTokenMs: nowMs }) }
    if (isFirst && sequence.request.forkOf === null) this.#numPromptTokens += sequence.numPromptTokens
  }

  /** Nothing, for one that has ended already. What the plan was to compute does not count, and its blocks lose their names. */
  #fail({ sequence, start }: InFlightEntry, error: TransferredError): SequenceUpdate[] {
    sequence.numComputedTokens = Math.min(sequence.numComputedTokens, start)
    const hasEnded = sequence.status === 'finished'
    if (!hasEnded) this.#end(sequence, 'error')
    this.#releaseBlocks(sequence)
    return hasEnded ? [] : [updateOf(sequence, { newTokenIds: [], logprobs: null, promptLogprobs: null, error })]
  }

  /** The caller sees to blocks and queues, which depend on where the sequence was. */
  #end(sequence: Sequence, reason: FinishReason, stopReason: number | null = null): void {
    if (sequence.status === 'running') this.#droppedIds.add(sequence.id)
    sequence.finish(reason, stopReason)
    this.#sequences.delete(sequence.id)
    this.#promptLogprobs.forget(sequence)
  }

  /** Of a sequence that has ended; as long as plans in flight write to them, it keeps them. */
  #releaseBlocks(sequence: Sequence): void {
    if (sequence.numPlansInFlight === 0) this.#kvCache.free(sequence)
  }

  #checkLength({ promptTokenIds, pooling }: SequenceRequest): void {
    const numPromptTokens = promptTokenIds.length
    const hasOutput = pooling === undefined
    const numTokens = numPromptTokens + (hasOutput ? 1 : 0)
    if (numTokens > this.config.maxModelLen)
      throw new ContextLengthError(numPromptTokens, this.config.maxModelLen, { hasOutput })
    if (numTokens <= this.maxModelLen) return
    throw new InvalidRequestError(
      `The prompt has ${numPromptTokens} tokens, but the KV cache holds ${this.maxModelLen}${hasOutput ? ' and at least one must be left for the output' : ''}. Shorten the prompt, or give the KV cache more memory.`,
      'prompt',
    )
  }
}

type News = Pick<SequenceUpdate, 'newTokenIds' | 'logprobs' | 'promptLogprobs' | 'error'>

function updateOf(sequence: Sequence, { newTokenIds, logprobs, promptLogprobs, error }: News): SequenceUpdate {
  return {
    id: sequence.id,
    newTokenIds,
    logprobs,
    promptLogprobs,
    finishReason: sequence.finishReason,
    stopReason: sequence.stopReason,
    error,
    numCachedTokens: sequence.numCachedTokens ?? 0,
    times: sequence.times,
  }
}
