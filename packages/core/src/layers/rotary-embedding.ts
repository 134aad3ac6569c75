import { keep, tensor2d } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import type { RopeConfig } from '../config/rope-config.ts'
import type { AttentionMetadata } from '../ops/attention-metadata.ts'
import { rotaryEmbedding } from '../ops/rotary-embedding.ts'
import { ropeFrequencies } from './rope-frequencies.ts'
import type { RopeFrequencies } from './rope-frequencies.ts'

/** What one forward pass needs of a table, the same in every layer. */
export interface RopeRows {
  readonly table: Tensor2D // [numRows, rotaryDim]
  /** Each token's row of the table. */
  readonly rows: Int32Array // [numTokens]
}

const initialCapacity = 512

/**
 * Rotary position embedding with its table of cosines and sines. The table grows with the positions that come up, so
 * that a model of a million positions takes no memory for those nobody uses; a row's values do not depend on its length.
 *
 * With LongRoPE a position has two rows, `2 * position` for short and `2 * position + 1` for long prompts. The prompt's
 * length decides, not the sequence's as in transformers: keys in the cache were rotated already and must stay right.
 */
export class RotaryEmbedding {
  readonly #config: RopeConfig
  readonly #headDim: number
  /** One set of angles, or short and long. */
  readonly #frequencies: readonly RopeFrequencies[]
  readonly #longThreshold: number
  #table: Tensor2D | null = null
  #capacity = 0

  constructor(config: RopeConfig, headDim: number) {
    this.#config = config
    this.#headDim = headDim
    const { scaling } = config
    const short = ropeFrequencies(config, false)
    this.#frequencies = scaling.type === 'longrope' ? [short, ropeFrequencies(config, true)] : [short]
    this.#longThreshold = scaling.type === 'longrope' ? scaling.originalMaxPositions : Infinity
  }

  prepare(metadata: AttentionMetadata): RopeRows {
    const { positions } = metadata
    const table = this.#reserve(positions.reduce((max, position) => Math.max(max, position), 0) + 1)
    return { table, rows: this.#frequencies.length === 1 ? positions : this.#chooseRows(metadata) }
  }

  /** x `[numTokens, heads * headDim]` → the same shape. */
  forward(x: Tensor2D, { table, rows }: RopeRows): Tensor2D {
    return rotaryEmbedding(x, table, { positions: rows, headDim: this.#headDim, rotaryDim: this.#config.rotaryDim })
  }

  dispose(): void {
    this.#table?.dispose()
    this.#table = null
    this.#capacity = 0
  }

  #chooseRows({ positions, queryStartLoc, numSeqs, seqLens, promptLens }: AttentionMetadata): Int32Array {
    const rows = positions.map((position) => 2 * position)
    for (let s = 0; s < numSeqs; s++) {
      if ((promptLens ?? seqLens)[s]! <= this.#longThreshold) continue
      for (let i = queryStartLoc[s]!; i < queryStartLoc[s + 1]!; i++) rows[i]! += 1
    }
    return rows
  }

  #reserve(numPositions: number): Tensor2D {
    if (this.#table !== null && numPositions <= this.#capacity) return this.#table
    let capacity = Math.max(this.#capacity, initialCapacity)
    while (capacity < numPositions) capacity *= 2
    const values = ropeTable(this.#frequencies, this.#config.rotaryDim, capacity)
    this.#table?.dispose()
    this.#table = keep(tensor2d(values, [capacity * this.#frequencies.length, this.#config.rotaryDim]))
    this.#capacity = capacity
    return this.#table
  }
}

/** Rows of `rotaryDim / 2` cosines, then as many sines: all sets of frequencies of position 0, then of position 1, … */
export function ropeTable(
  frequencies: readonly RopeFrequencies[],
  rotaryDim: number,
  numPositions: number,
): Float32Array {
  const half = rotaryDim / 2
  const values = new Float32Array(numPositions * frequencies.length * rotaryDim)
  let row = 0
  for (let position = 0; position < numPositions; position++) {
    for (const { inverse, attentionFactor } of frequencies) {
      for (let i = 0; i < half; i++) {
        const angle = Math.fround(position * inverse[i]!)
        values[row + i] = Math.fround(Math.cos(angle)) * attentionFactor
        values[row + half + i] = Math.fround(Math.sin(angle)) * attentionFactor
      }
      row += rotaryDim
    }
  }
  return values
}
