import type { TransferredError } from '../error-transfer.ts'
import type { SamplingParams } from '../sampling-params.ts'
import type { Logprob, TokenLogprobs } from '../sequence/outputs.ts'
import type { PooledData, SequencePooling } from '../sequence/sequence-pooling.ts'
import type {
  ModelRunnerOutput,
  PooledSequence,
  PromptLogprobs,
  SampledTokens,
  SchedulerOutput,
} from './scheduler-output.ts'

/** What one slot of KV memory holds: `chain` stands for the KV, which depends on all tokens up to its position. */
interface Slot {
  readonly position: number
  readonly token: number
  readonly chain: number
}

interface Row {
  readonly params: SamplingParams
  readonly numPromptTokens: number
  readonly tokens: number[]
  readonly chains: number[]
  readonly blockTable: number[]
  readonly rootChain: number
  readonly pooling: SequencePooling | null
  /** Chains of the tokens that this very row computed: what came from the prefix cache has no hidden states. */
  readonly hidden: number[]
  numComputedTokens: number
}

export interface FakeExecutorOptions {
  readonly numBlocks: number
  readonly blockSize: number
  readonly vocabSize: number
  /** The chain before the first token: differs between tenants, so that KV that crosses over is noticed. */
  readonly rootChainOf: (id: string) => number
}

/** Sequences that get no token: for ever, or in this plan. */
export interface NoTokenFor {
  readonly hasFailed?: (id: string) => boolean
  readonly isDeferred?: (id: string) => boolean
}

const none = (): boolean => false

/**
 * Runs plans on integers, exactly as a model runner would: it knows nothing but the plans. Memory keeps what was once
 * written, and before a token is "computed" every position it attends to must hold the right content.
 */
export class FakeExecutor {
  readonly rows = new Map<string, Row>()
  readonly #options: FakeExecutorOptions
  readonly #slots: (Slot | undefined)[]
  /** Blocks that the last plan wrote to. */
  readonly written = new Set<number>()
  /** Ids that lost plans were about: whether they are held is not certain before they are dropped, nor what their rows say. */
  readonly #lostIds = new Set<string>()

  constructor(options: FakeExecutorOptions) {
    this.#options = options
    this.#slots = new Array<Slot | undefined>(options.numBlocks * options.blockSize)
  }

  /** A plan that fails, `isTakenIn` or not: rows may be up to date with it and half of its slots written. */
  lose(plan: SchedulerOutput, isTakenIn: boolean): void {
    if (isTakenIn) {
      this.#updateRows(plan)
      for (const { id, numTokens, draftTokenIds = [] } of plan.scheduled.slice(0, plan.scheduled.length >> 1))
        this.#write(withDrafts(this.#row(id), draftTokenIds), numTokens)
    }
    for (const id of [...plan.droppedIds, ...plan.scheduled.map((entry) => entry.id)]) this.#lostIds.add(id)
  }

  execute(plan: SchedulerOutput, { hasFailed = none, isDeferred = none }: NoTokenFor = {}): ModelRunnerOutput {
    this.written.clear()
    this.#updateRows(plan)
    for (const { from, to } of plan.blockCopies) this.#copyBlock(from, to)
    const batch = plan.scheduled.map(({ id, numTokens, draftTokenIds = [] }) => ({
      id,
      numTokens,
      row: this.#row(id),
      drafted: withDrafts(this.#row(id), draftTokenIds),
    }))
    check(batch.reduce((sum, { numTokens }) => sum + numTokens, 0) === plan.numTokens, 'numTokens is not the sum')
    check(new Set(plan.scheduled.map(({ id }) => id)).size === batch.length, 'a sequence is in the batch twice')

    // As in each layer of a forward pass: the keys and values of all rows are written before any row attends.
    for (const { drafted, numTokens } of batch) this.#write(drafted, numTokens)
    for (const { drafted, numTokens, id } of batch) this.#attend(id, drafted, drafted.numComputedTokens + numTokens)

    const sampled: SampledTokens[] = []
    const failed = batch.filter(({ id }) => hasFailed(id)).map(({ id }) => ({ id, error: fakeError }))
    const promptLogprobs: PromptLogprobs[] = []
    const deferred: string[] = []
    const pooled: PooledSequence[] = []
    for (const { id, row, drafted, numTokens } of batch) {
      const start = row.numComputedTokens
      const numDrafts = drafted.tokens.length - row.tokens.length
      check(numDrafts === 0 || start + numTokens === drafted.tokens.length, `${id}: drafts before it caught up`)
      row.numComputedTokens += numTokens - numDrafts
      row.hidden.push(...row.chains.slice(start, row.numComputedTokens))
      if (hasFailed(id)) continue
      if (row.params.promptLogprobs !== null) promptLogprobs.push(fakePromptLogprobs(id, row, start))
      if (row.numComputedTokens < row.tokens.length) continue
      if (row.pooling !== null) {
        check(numDrafts === 0, `${id}: drafts of a prompt`)
        pooled.push({ id, ...fakeVectors(row.hidden, row.pooling) })
        continue
      }
      if (isDeferred(id)) {
        row.numComputedTokens--
        deferred.push(id)
        continue
      }
      const tokens = this.#sample(id, row, drafted)
      row.numComputedTokens += tokens.tokenIds.length - 1
      sampled.push(tokens)
    }
    return { sampled, promptLogprobs, failed, deferred, pooled }
  }

  /** Every held row, scheduled in this step or not, can still read all that it has computed, but drafts that it has not been told of. */
  checkAllRows(): void {
    for (const [id, row] of this.rows)
      if (!this.#lostIds.has(id)) this.#attend(id, row, Math.min(row.numComputedTokens, row.tokens.length))
  }

  chainAt(blockId: number, offset: number): number | undefined {
    return this.#slots[blockId * this.#options.blockSize + offset]?.chain
  }

  #updateRows(plan: SchedulerOutput): void {
    for (const id of plan.droppedIds) {
      const isKnown = [this.rows.delete(id), this.#lostIds.delete(id)].includes(true)
      check(isKnown, `dropped ${id}, which is not held`)
    }
    for (const data of plan.newSequences) {
      check(!this.rows.has(data.id), `new sequence ${data.id} is held already`)
      const rootChain = this.#options.rootChainOf(data.id)
      const row: Row = {
        params: data.params,
        numPromptTokens: data.numPromptTokens,
        tokens: [...data.tokenIds],
        chains: extendChains([], data.tokenIds, rootChain),
        blockTable: [...data.blockIds],
        rootChain,
        pooling: data.pooling ?? null,
        hidden: [],
        numComputedTokens: data.numComputedTokens,
      }
      this.rows.set(data.id, row)
    }
    for (const data of plan.cachedSequences) {
      const row = this.#row(data.id)
      check(
        row.numComputedTokens === data.numComputedTokens,
        `${data.id}: plan and runner disagree on numComputedTokens`,
      )
      row.tokens.push(...data.newTokenIds)
      extendChains(row.chains, row.tokens, row.rootChain)
      for (const { index, blockId } of data.replacedBlocks) row.blockTable[index] = blockId
      row.blockTable.push(...data.newBlockIds)
    }
  }

  #copyBlock(from: number, to: number): void {
    const { blockSize } = this.#options
    for (let i = 0; i < blockSize; i++) this.#slots[to * blockSize + i] = this.#slots[from * blockSize + i]
  }

  #write(row: Row, numTokens: number): void {
    const start = row.numComputedTokens
    check(start + numTokens <= row.tokens.length, 'computes tokens that do not exist')
    for (let position = start; position < start + numTokens; position++) {
      const slot = { position, token: row.tokens[position]!, chain: row.chains[position]! }
      const index = this.#slotOf(row, position)
      this.#slots[index] = slot
      this.written.add(Math.floor(index / this.#options.blockSize))
    }
  }

  #attend(id: string, row: Row, numTokens: number): void {
    for (let position = 0; position < numTokens; position++) {
      const slot = this.#slots[this.#slotOf(row, position)]
      const isRight =
        slot?.position === position && slot.token === row.tokens[position] && slot.chain === row.chains[position]
      check(isRight, `${id}: position ${position} of ${numTokens} reads ${JSON.stringify(slot)}`)
    }
  }

  #slotOf(row: Row, position: number): number {
    const { blockSize, numBlocks } = this.#options
    const blockId = row.blockTable[Math.floor(position / blockSize)]
    check(blockId !== undefined && blockId > 0 && blockId < numBlocks, `position ${position} has block ${blockId}`)
    return blockId * blockSize + (position % blockSize)
  }

  /** What follows the row, and then each draft that is what follows. */
  #sample(id: string, { params, tokens }: Row, drafted: Row): SampledTokens {
    const tokenIds: number[] = []
    for (let length = tokens.length; length <= drafted.tokens.length; length++) {
      tokenIds.push(sampleToken(drafted.chains[length - 1]!, params.seed ?? 0, this.#options.vocabSize))
      if (tokenIds.at(-1) !== drafted.tokens[length]) break
    }
    const entry = (tokenId: number, i: number): TokenLogprobs => ({
      chosen: logprob(tokenId, tokens.length + i),
      top: [],
    })
    return { id, tokenIds, logprobs: params.logprobs === null ? null : tokenIds.map(entry) }
  }

  #row(id: string): Row {
    const row = this.rows.get(id)
    check(row !== undefined, `sequence ${id} is not held`)
    return row
  }
}

function withDrafts(row: Row, draftTokenIds: readonly number[]): Row {
  if (draftTokenIds.length === 0) return row
  const tokens = [...row.tokens, ...draftTokenIds]
  return { ...row, tokens, chains: extendChains([...row.chains], tokens, row.rootChain) }
}

export const fakeError: TransferredError = { name: 'Error', message: 'it broke', stack: null, fields: {} }

/** 32 bits that depend on every token so far and on their order. */
export function mix(chain: number, token: number): number {
  let hash = Math.imul(chain ^ (token + 0x9e3779b9), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

export function extendChains(chains: number[], tokens: readonly number[], rootChain: number): number[] {
  for (let i = chains.length; i < tokens.length; i++) chains.push(mix(chains[i - 1] ?? rootChain, tokens[i]!))
  return chains
}

export function sampleToken(chain: number, seed: number, vocabSize: number): number {
  return mix(chain, 1_000_003 + seed) % vocabSize
}

export function logprob(tokenId: number, position: number): Logprob {
  return { tokenId, logprob: -position, rank: 1 }
}

/** Of hidden states that stand for all tokens before them, and of no others. */
export function fakeVectors(hidden: readonly number[], { type }: Pick<SequencePooling, 'type'>): PooledData {
  const rows = type === 'last' ? hidden.slice(-1) : type === 'cls' ? hidden.slice(0, 1) : hidden
  const data = Float32Array.from(rows, (chain) => chain % 2 ** 24)
  return { data, shape: [data.length] }
}

/** The hidden state at position p - 1 gives the logprob of prompt position p. */
function fakePromptLogprobs(id: string, row: Row, start: number): PromptLogprobs {
  const end = Math.min(row.numComputedTokens + 1, row.numPromptTokens)
  const entries: TokenLogprobs[] = []
  for (let position = start + 1; position < end; position++)
    entries.push({ chosen: logprob(row.tokens[position]!, position), top: [] })
  return { id, startPosition: start + 1, entries }
}

export function check(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(message)
}
