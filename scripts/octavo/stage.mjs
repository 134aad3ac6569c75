/** Runs one stage under a heading and says how long it took; a failure passes through. */
export async function stage(name, work) {
  const startedAt = performance.now()
  console.log(`▸ ${name}`)
  const result = await work()
  console.log(`  ${name}: ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
  return result
}
