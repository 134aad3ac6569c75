import { gather, tensor1d, tidy } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import type { BackendPack } from '../backends/backend-pack.ts'
import type { AttentionMetadata } from '../ops/attention-metadata.ts'
import type { KvDType, KvStorage } from '../tensor/kv-storage.ts'
import type { CausalLM } from './model.ts'

/** One sequence of a `StepRunner`. */
export interface TestSequence {
  readonly ids: number[]
  readonly numPromptTokens: number
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

  add(ids: readonly number[]): TestSequence {
    return { ids: [...ids], numPromptTokens: ids.length, numComputed: 0, blocks: [] }
  }

  /** Computes the next tokens of each part; returns the logits of every computed row, in batch order. */
  step(parts: readonly StepPart[], rows: 'all' | 'last'): Float32Array[] {
    const metadata = this.#metadata(parts)
    const ids = parts.flatMap(({ sequence, numTokens }) =>
      sequence.ids.slice(sequence.numComputed, sequence.numComputed + numTokens),
    )
    const logits = tidy(() => {
      let input: Int32Array | Tensor2D = Int32Array.from(ids)
      for (const { model, kv } of this.#stages) input = model.forward(input, { metadata, kv, tokens: null })
      const { model, kv } = this.#stages.at(-1)!
      const last = Int32Array.from(parts, (_, s) => metadata.queryStartLoc[s + 1]! - 1)
      const hidden = input as Tensor2D // of a stage, whatever went into it
      return (
        rows === 'all'
          ? model.computeLogits(hidden, { metadata, kv, tokens: null })
          : model.computeLogits(gather(hidden, tensor1d(last, 'int32')), { metadata, kv, tokens: last })
      ).dataSync<'float32'>()
    })
    for (const { sequence, numTokens } of parts) sequence.numComputed += numTokens
    const width = this.#stages.at(-1)!.model.config.vocabSize
    return Array.from({ length: logits.length / width }, (_, i) => logits.slice(i * width, (i + 1) * width))
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
