import type { SequencePooling } from '../sequence/sequence-pooling.ts'

/** What a runner keeps of a prompt that is pooled, while its parts are computed. */
export class PoolingState {
  readonly pooling: SequencePooling
  /** Of 'mean': sums in the order of tokens and in float64, so that the parts in which a prompt is computed do not show. */
  #sums: Float64Array | null = null
  #numSummed = 0
  /** Of 'all': vectors of tokens so far; of 'cls' and 'last': the one vector. */
  readonly #rows: Float32Array[] = []

  constructor(pooling: SequencePooling) {
    this.pooling = pooling
  }

  /** Whether a vector is made of the token at `position` of a prompt of `numTokens`. */
  needs(position: number, numTokens: number): boolean {
    const { type } = this.pooling
    if (type === 'cls') return position === 0
    return type !== 'last' || position === numTokens - 1
  }

  /** What came of the next token that it needs. */
  add(row: Float32Array): void {
    if (this.pooling.type !== 'mean') return void this.#rows.push(row)
    this.#sums ??= new Float64Array(row.length)
    for (let i = 0; i < row.length; i++) this.#sums[i]! += row[i]!
    this.#numSummed++
  }

  /** Once the prompt is computed. */
  rows(): readonly Float32Array[] {
    if (this.#sums === null) return this.#rows
    const numSummed = this.#numSummed
    return [Float32Array.from(this.#sums, (sum) => sum / numSummed)]
  }
}
