/** The smallest value that at least `percent` % of the values do not exceed (nearest rank); NaN of none. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, rank(percent, values.length) - 1)] ?? Number.NaN
}

export function median(values: readonly number[]): number {
  return percentile(values, 50)
}

/** Of so many values, how many may exceed a bound that the percentile keeps. */
export function numAllowedAbove(percent: number, count: number): number {
  return count - rank(percent, count)
}

function rank(percent: number, count: number): number {
  return Math.ceil((percent / 100) * count)
}
