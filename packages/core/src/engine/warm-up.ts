import type { WarmupPolicy } from '../backends/backend-pack.ts'
import { defaultSamplingParams } from '../sampling-params.ts'
import type { NewSequenceData, SchedulerOutput } from '../scheduler/scheduler-output.ts'
import { ceilDiv } from '../util/math.ts'
import type { ModelRunner } from './model-runner.ts'

/** The largest batches that the scheduler may plan. */
export interface WarmupLimits {
  readonly maxNumSeqs: number
  readonly maxNumBatchedTokens: number
  readonly maxModelLen: number
  readonly blockSize: number
  /** Otherwise prompts are pooled. Default true. */
  readonly canGenerate?: boolean
  /** An encoder: there are no parts of prompts, and nothing is decoded. Default false. */
  readonly needsWholePrompts?: boolean
}

/** What was run before serving. */
export interface WarmupReport {
  readonly numSteps: number
  readonly tookMs: number
}

/** 1, 2, 4, 8, then eight sizes between a power of two and the next, but multiples of 8: at most an eighth is padding from 64 on. */
export function batchSizes(max: number): number[] {
  const sizes: number[] = []
  for (let size = 1; size < max; size = nextSize(size)) sizes.push(size)
  return [...sizes, max]
}

function nextSize(size: number): number {
  return size < 8 ? 2 * size : size + Math.max(8, 2 ** Math.floor(Math.log2(size)) / 8)
}

/** The smallest of `batchSizes(max)` that holds so many tokens, of which there are `max` at most. */
export function paddedSizes(max: number): (numTokens: number) => number {
  const sizes = batchSizes(max)
  return (numTokens) => sizes.find((size) => size >= numTokens) ?? numTokens
}

/**
 * Runs prompts, mixtures and decodes of the sizes that batches are filled up to, and a sampling after each: decodes at
 * every length of context that the backend tells apart. The largest go first, so that memory grows once, and a lack of it
 * shows here.
 *
 * All sequences lie in the null block, which holds nothing that anybody reads: the cache is as if nothing had run.
 */
export function warmUp(runner: ModelRunner, policy: WarmupPolicy, limits: WarmupLimits): WarmupReport {
  const startedAt = performance.now()
  const { maxNumSeqs, maxNumBatchedTokens, maxModelLen, needsWholePrompts = false } = limits
  let ran: string[] = []
  let numSteps = 0
  const run = (sequences: readonly WarmupSequence[]): void => {
    const plan = planOf(sequences, limits, ran)
    ran = plan.scheduled.map(({ id }) => id)
    runner.rehearse(plan)
    numSteps++
  }
  for (const size of batchSizes(maxNumBatchedTokens).reverse()) run(promptsOf(size, limits))
  for (const sequences of mixturesOf(limits)) run(sequences)
  const decodeSizes = needsWholePrompts ? [] : batchSizes(Math.min(maxNumSeqs, maxNumBatchedTokens)).reverse()
  for (const size of decodeSizes)
    for (const length of policy.contextLengths(maxModelLen).toReversed())
      run(Array.from({ length: size }, () => ({ numComputed: length - 1, numNew: 1 })))
  runner.rehearse(planOf([], limits, ran))
  return { numSteps, tookMs: performance.now() - startedAt }
}

const lastToken = { head: 'embed', type: 'last', dimensions: null, activation: 'none' } as const

interface WarmupSequence {
  readonly numComputed: number
  readonly numNew: number
}

/** Prompts of `size` tokens together: one, where a context holds as many. */
function promptsOf(size: number, { maxModelLen }: WarmupLimits): WarmupSequence[] {
  return Array.from({ length: ceilDiv(size, maxModelLen) }, (_, i) => ({
    numComputed: 0,
    numNew: Math.min(maxModelLen, size - i * maxModelLen),
  }))
}

/**
 * Batches whose sequences compute 1, 2, 3, 5, 9, 17 … tokens: each of these attends by itself, so that up to as many
 * results are joined.
 */
function mixturesOf({ maxNumSeqs, maxNumBatchedTokens, maxModelLen }: WarmupLimits): WarmupSequence[][] {
  const sequences = [{ numComputed: 0, numNew: 1 }]
  const mixtures: WarmupSequence[][] = []
  let numTokens = 1
  while (sequences.length < maxNumSeqs) {
    const numNew = 2 ** (sequences.length - 1) + 1
    numTokens += numNew
    if (numTokens > maxNumBatchedTokens || numNew > maxModelLen) break
    sequences.push({ numComputed: 0, numNew })
    mixtures.push([...sequences])
  }
  return mixtures
}

function planOf(
  sequences: readonly WarmupSequence[],
  { blockSize, canGenerate = true }: WarmupLimits,
  droppedIds: readonly string[],
): SchedulerOutput {
  const longest = sequences.reduce((max, { numComputed, numNew }) => Math.max(max, numComputed + numNew), 0)
  const zeros = new Array<number>(longest).fill(0)
  const newSequences = sequences.map(({ numComputed, numNew }, i): NewSequenceData => {
    const length = numComputed + numNew
    return {
      id: `warmup-${i}`,
      tokenIds: length === longest ? zeros : zeros.slice(0, length),
      numPromptTokens: length,
      params: { ...defaultSamplingParams, temperature: 0 },
      eosTokenIds: [],
      blockIds: zeros.slice(0, ceilDiv(length, blockSize)),
      numComputedTokens: numComputed,
      ...(!canGenerate && { pooling: lastToken }),
    }
  })
  return {
    newSequences,
    cachedSequences: [],
    scheduled: sequences.map(({ numNew }, i) => ({ id: `warmup-${i}`, numTokens: numNew })),
    numTokens: sequences.reduce((total, { numNew }) => total + numNew, 0),
    blockCopies: [],
    droppedIds,
  }
}
