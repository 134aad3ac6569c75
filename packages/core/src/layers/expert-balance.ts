/** What the experts of a model were given so far, rank by rank: a row is one token for one expert of one layer. */
export interface ExpertBalanceReport {
  readonly rowsPerRank: readonly number[]
  /** Of every layer of every step, the rows of the rank that had most: those that all others wait for. */
  readonly busiestRows: number
  /** How much longer experts take than if each rank had the same number of rows: 1 = even. */
  readonly imbalance: number
}

/** Counts the rows that experts of an expert-parallel group are given; every rank of it counts the same. */
export class ExpertBalance {
  #rowsPerRank: number[] = []
  #busiestRows = 0

  /** @param rowsPerRank of one layer in one step */
  record(rowsPerRank: readonly number[]): void {
    this.#rowsPerRank = rowsPerRank.map((rows, rank) => rows + (this.#rowsPerRank[rank] ?? 0))
    this.#busiestRows += Math.max(...rowsPerRank)
  }

  /** `null` where no layer has experts, or none has been given anything. */
  report(): ExpertBalanceReport | null {
    const rowsPerRank = [...this.#rowsPerRank]
    const total = rowsPerRank.reduce((sum, rows) => sum + rows, 0)
    const busiestRows = this.#busiestRows
    return total === 0 ? null : { rowsPerRank, busiestRows, imbalance: (busiestRows * rowsPerRank.length) / total }
  }
}
