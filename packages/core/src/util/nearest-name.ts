import { editDistance } from './edit-distance.ts'

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
