/** One line of a bench's table. */
export interface BenchRow {
  readonly name: string
  readonly unit: string
  readonly isHigherBetter: boolean
  /** By engine; `null` where the engine has no such figure. */
  readonly values: Readonly<Record<string, number | null>>
  /** Of the machine's limit, from 0 to 1, by engine. */
  readonly shares: Readonly<Record<string, number | null>>
}

/** How many times as good as the other the first engine is; `null` without both figures. */
export function ratioOf({ values, isHigherBetter }: BenchRow, engine: string, other: string): number | null {
  const [a, b] = [values[engine] ?? null, values[other] ?? null]
  if (a === null || b === null || a === 0 || b === 0) return null
  return isHigherBetter ? a / b : b / a
}
