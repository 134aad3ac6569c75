/** Park and Miller's generator, in (0, 1): the same numbers at each run. */
export function createRandom(seed: number): () => number {
  let state = seed
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647
}
