/** The name that differs least from `name`, or null where none is near enough to be meant. */
export function nearestName(name: string, names: readonly string[]): string | null {
  const maxDistance = Math.max(1, Math.floor(name.length / 3))
  let nearest: { name: string; distance: number } | null = null
  for (const candidate of names) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase())
    if (distance <= maxDistance && distance < (nearest?.distance ?? Infinity)) nearest = { name: candidate, distance }
  }
  return nearest?.name ?? null
}

/** Levenshtein's: how many letters must be put in, left out or replaced. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const above = row
    row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min(replaced, above[j]! + 1, row[j - 1]! + 1))
    }
  }
  return row[b.length]!
}
