import type { ServedModel } from './engine-client.ts'

/**
 * How a model scores two texts: one that classifies with one label reads both together ('cross-encoder'), one that embeds
 * has them compared ('bi-encoder'); `null`: neither.
 */
export function scoringOf({
  tasks,
  pooling,
}: Pick<ServedModel, 'tasks' | 'pooling'>): 'cross-encoder' | 'bi-encoder' | null {
  if (tasks.includes('classify') && pooling?.numLabels === 1) return 'cross-encoder'
  return tasks.includes('embed') ? 'bi-encoder' : null
}

/** Of embeddings; with a vector of zeros: 0. */
export function cosine(a: Float32Array, b: Float32Array): number {
  let [dot, squaresOfA, squaresOfB] = [0, 0, 0]
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!
    squaresOfA += a[i]! ** 2
    squaresOfB += b[i]! ** 2
  }
  const norms = Math.sqrt(squaresOfA) * Math.sqrt(squaresOfB)
  return norms === 0 ? 0 : dot / norms
}

/** The label of the highest, the first of several that are equal; `null` where labels have no names. */
export function labelOf(probs: Float32Array, { pooling }: Pick<ServedModel, 'pooling'>): string | null {
  const best = probs.reduce((top, value, i) => (value > probs[top]! ? i : top), 0)
  return pooling?.labels?.[best] ?? null
}
