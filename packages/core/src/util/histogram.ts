/** How often values fell between bounds; `counts[i]` those up to `bounds[i]`, the last those above all. */
export interface HistogramCounts {
  readonly counts: readonly number[]
  readonly sum: number
}

/** As Prometheus has it, but for its buckets, which there count what is below them too. */
export interface HistogramData extends HistogramCounts {
  /** Ascending; a value belongs to the first that is not below it. */
  readonly bounds: readonly number[]
}

/** Counts values by size. */
export class Histogram {
  readonly #bounds: readonly number[]
  readonly #counts: number[]
  #sum = 0

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
    this.#counts = Array.from({ length: bounds.length + 1 }, () => 0)
  }

  observe(value: number): void {
    let i = 0
    while (i < this.#bounds.length && value > this.#bounds[i]!) i++
    this.#counts[i]!++
    this.#sum += value
  }

  counts(): HistogramCounts {
    return { counts: this.#counts.slice(), sum: this.#sum }
  }

  data(): HistogramData {
    return { ...this.counts(), bounds: this.#bounds }
  }
}

/** Of two parts of the same values, by the same bounds. */
export function addCounts(a: HistogramCounts, b: HistogramCounts): HistogramCounts {
  return { counts: a.counts.map((count, i) => count + (b.counts[i] ?? 0)), sum: a.sum + b.sum }
}

/** 1, 2, 5, 10, 20, 50, … up to `max`. */
export function oneTwoFiveBounds(max: number): number[] {
  const bounds: number[] = []
  for (let power = 1; ; power *= 10) {
    for (const digit of [1, 2, 5]) {
      if (digit * power > max) return bounds
      bounds.push(digit * power)
    }
  }
}
