import type { AllocatedSlots } from '../kv-cache/kv-cache-manager.ts'
import type { Sequence } from '../sequence/sequence.ts'
import { assert } from '../util/assert.ts'
import type {
  BlockCopy,
  CachedSequenceData,
  NewSequenceData,
  ScheduledTokens,
  SchedulerOutput,
} from './scheduler-output.ts'

export interface StepEntry {
  readonly sequence: Sequence
  /** Drafts included. */
  readonly numTokens: number
  /** None where left out. */
  readonly draftTokenIds?: readonly number[]
}

export interface PlannedEntry extends StepEntry {
  /** True if the runner does not hold the sequence yet. */
  readonly isNew: boolean
  readonly slots: AllocatedSlots
}

/** One step while it is being planned: spends the token budget on sequences, and can take one back. */
export class StepPlan {
  readonly #entries = new Map<Sequence, PlannedEntry>()
  #budget: number

  constructor(maxNumBatchedTokens: number) {
    this.#budget = maxNumBatchedTokens
  }

  get isEmpty(): boolean {
    return this.#entries.size === 0
  }

  /** Tokens still to be given out. */
  get budget(): number {
    return this.#budget
  }

  add(entry: PlannedEntry): void {
    assert(
      entry.numTokens > 0 && entry.numTokens <= this.#budget,
      `${entry.numTokens} tokens of a budget of ${this.#budget}`,
    )
    assert(!this.#entries.has(entry.sequence), `sequence ${entry.sequence.id} is planned already`)
    this.#entries.set(entry.sequence, entry)
    this.#budget -= entry.numTokens
  }

  /** Takes a sequence out again, if it is in, with its tokens and block copies. */
  remove(sequence: Sequence): void {
    const entry = this.#entries.get(sequence)
    if (entry === undefined) return
    this.#entries.delete(sequence)
    this.#budget += entry.numTokens
  }

  entries(): StepEntry[] {
    return [...this.#entries.values()]
  }

  build(blockIdsOf: (sequence: Sequence) => number[], droppedIds: readonly string[]): SchedulerOutput {
    const newSequences: NewSequenceData[] = []
    const cachedSequences: CachedSequenceData[] = []
    const scheduled: ScheduledTokens[] = []
    const blockCopies: BlockCopy[] = []
    let total = 0
    for (const { sequence, numTokens, draftTokenIds, isNew, slots } of this.#entries.values()) {
      if (isNew) newSequences.push(newSequenceData(sequence, blockIdsOf(sequence)))
      else cachedSequences.push(cachedSequenceData(sequence, slots))
      const { id } = sequence
      scheduled.push(draftTokenIds === undefined ? { id, numTokens } : { id, numTokens, draftTokenIds })
      blockCopies.push(...slots.blockCopies)
      total += numTokens
    }
    return { newSequences, cachedSequences, scheduled, numTokens: total, blockCopies, droppedIds }
  }
}

function newSequenceData(sequence: Sequence, blockIds: number[]): NewSequenceData {
  const { pooling, tokenTypeIds } = sequence.request
  return {
    id: sequence.id,
    tokenIds: sequence.tokenIds(),
    numPromptTokens: sequence.numPromptTokens,
    params: sequence.params,
    eosTokenIds: sequence.request.eosTokenIds,
    blockIds,
    numComputedTokens: sequence.numComputedTokens,
    ...(pooling && { pooling }),
    ...(tokenTypeIds && { tokenTypeIds }),
  }
}

function cachedSequenceData(sequence: Sequence, { newBlockIds, replacedBlocks }: AllocatedSlots): CachedSequenceData {
  return {
    id: sequence.id,
    newTokenIds: sequence.tokenIds(sequence.numPlannedTokens),
    numComputedTokens: sequence.numComputedTokens,
    newBlockIds,
    replacedBlocks,
  }
}
