import { gather, tensor1d, tidy } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import type { BackendPack } from '../backends/backend-pack.ts'
import type { ForwardContext } from '../layers/forward-context.ts'
import type { AttentionMetadata } from '../ops/attention-metadata.ts'
import type { KvDType, KvStorage } from '../tensor/kv-storage.ts'
import type { CausalLM } from './model.ts'

/** One sequence of a `StepRunner`. */
export interface TestSequence {
  readonly ids: number[]
  readonly numPromptTokens: number
  /** Of encoders; left out: all 0. */
  readonly typeIds?: readonly number[]
  numComputed: number
  readonly blocks: number[]
}

export interface StepPart {
  readonly sequence: TestSequence
  readonly numTokens: number
}

export interface StepRunnerOptions {
  readonly numBlocks?: number
  readonly blockSize?: number
  /** Of the KV cache. */
  readonly dtype?: KvDType
}

/** A model runner for tests: no scheduler, and block tables that are scattered over the whole pool on purpose. */
export class StepRunner {
  readonly #stages: readonly { readonly model: CausalLM; readonly kv: KvStorage }[]
  readonly #free: number[]
  readonly #blockSize: number

  constructor(
    /** Or the stages of one, in order. */
    model: CausalLM | readonly CausalLM[],
    pack: BackendPack,
    { numBlocks = 96, blockSize = 8, dtype = 'float32' }: StepRunnerOptions = {},
  ) {
    this.#blockSize = blockSize
    const stages = 'forward' in model ? [model] : model
    this.#stages = stages.map((stage) => {
      const numLayers = Math.max(1, stage.kvShape.numLayers) // an embedding alone has none
      return { model: stage, kv: pack.createKvStorage({ ...stage.kvShape, numLayers, dtype, numBlocks, blockSize }) }
    })
    // 37 and the default 96 have no common divisor, so this visits every block once, never two neighbours in a row.
    this.#free = Array.from({ length: numBlocks }, (_, i) => (i * 37 + 11) % numBlocks)
  }

  add(ids: readonly number[], typeIds?: readonly number[]): TestSequence {
    return { ids: [...ids], numPromptTokens: ids.length, numComputed: 0, blocks: [], ...(typeIds && { typeIds }) }
  }

  /** Computes the next tokens of each part; returns the logits of every computed row, in batch order. */
  step(parts: readonly StepPart[], rows: 'all' | 'last'): Float32Array[] {
    const { model } = this.#stages.at(-1)!
    return this.#compute(parts, (hidden, context) => {
      if (rows === 'all') return model.computeLogits(hidden, context)
      const tokens = Int32Array.from(parts, (_, s) => context.metadata.queryStartLoc[s + 1]! - 1)
      return model.computeLogits(gather(hidden, tensor1d(tokens, 'int32')), { ...context, tokens })
    })
  }

  /** As `step`, the hidden states of every row. */
  hiddenStates(parts: readonly StepPart[]): Float32Array[] {
    return this.#compute(parts, (hidden) => hidden)
  }

  #compute(parts: readonly StepPart[], use: (hidden: Tensor2D, context: ForwardContext) => Tensor2D): Float32Array[] {
    const metadata = this.#metadata(parts)
    const next = (of: (sequence: TestSequence) => readonly number[]): Int32Array =>
      Int32Array.from(
        parts.flatMap(({ sequence, numTokens }) =>
          of(sequence).slice(sequence.numComputed, sequence.numComputed + numTokens),
        ),
      )
    const tokenTypes = next(({ ids, typeIds }) => typeIds ?? ids.map(() => 0))
    const rows = tidy(() => {
      let input: Int32Array | Tensor2D = next(({ ids }) => ids)
      for (const { model, kv } of this.#stages) input = model.forward(input, { metadata, kv, tokens: null, tokenTypes })
      const { kv } = this.#stages.at(-1)!
      const output = use(input as Tensor2D, { metadata, kv, tokens: null }) // of a stage, whatever went into it
      return { values: output.dataSync<'float32'>(), width: output.shape[1] }
    })
    for (const { sequence, numTokens } of parts) sequence.numComputed += numTokens
    const { values, width } = rows
    return Array.from({ length: values.length / width }, (_, i) => values.slice(i * width, (i + 1) * width))
  }

  release(sequence: TestSequence): void {
    this.#free.push(...sequence.blocks.splice(0))
  }

  dispose(): void {
    for (const { kv } of this.#stages) kv.dispose()
  }

  #metadata(parts: readonly StepPart[]): AttentionMetadata {
    const queryStartLoc = [0]
    const slots: number[] = []
    const positions: number[] = []
    for (const { sequence, numTokens } of parts) {
      for (let position = sequence.numComputed; position < sequence.numComputed + numTokens; position++) {
        const block = (sequence.blocks[Math.floor(position / this.#blockSize)] ??= this.#allocate())
        slots.push(block * this.#blockSize + (position % this.#blockSize))
        positions.push(position)
      }
      queryStartLoc.push(slots.length)
    }
    const maxBlocksPerSeq = Math.max(...parts.map(({ sequence }) => sequence.blocks.length))
    const blockTables = new Int32Array(parts.length * maxBlocksPerSeq)
    parts.forEach(({ sequence }, s) => blockTables.set(sequence.blocks, s * maxBlocksPerSeq))
    return {
      numTokens: slots.length,
      numSeqs: parts.length,
      blockSize: this.#blockSize,
      queryStartLoc: Int32Array.from(queryStartLoc),
      seqLens: Int32Array.from(parts, ({ sequence, numTokens }) => sequence.numComputed + numTokens),
      blockTables,
      maxBlocksPerSeq,
      slotMapping: Int32Array.from(slots),
      positions: Int32Array.from(positions),
      promptLens: Int32Array.from(parts, ({ sequence }) => sequence.numPromptTokens),
    }
  }

  #allocate(): number {
    const block = this.#free.shift()
    if (block === undefined) throw new Error('the test pool has no free block')
    return block
  }
}

export function argmax(logits: Float32Array): number {
  let best = 0
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i
  return best
}
