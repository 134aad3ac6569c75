/**
 * All sources at once, each value with its source's index, in the order in which they come. A source runs at most one
 * value ahead of the reader. The first failure ends the iteration. Ending it does not wait for sources that are still
 * busy, so whoever starts them must have a signal that stops them.
 */
export async function* mergeAsync<T>(
  sources: readonly AsyncIterable<T>[],
): AsyncGenerator<{ index: number; value: T }, void, undefined> {
  const arrived: { index: number; value: T; resume: () => void }[] = []
  let failure: { readonly error: unknown } | null = null
  let numRunning = sources.length
  let isEnded = false
  let wake = Promise.withResolvers<void>()

  const pump = async (source: AsyncIterable<T>, index: number): Promise<void> => {
    try {
      for await (const value of source) {
        const taken = Promise.withResolvers<void>()
        arrived.push({ index, value, resume: taken.resolve })
        wake.resolve()
        await taken.promise
        if (isEnded) break
      }
    } catch (error) {
      failure ??= { error }
    }
    numRunning--
    wake.resolve()
  }

  const pumps = sources.map(pump)
  try {
    while (true) {
      const next = arrived.shift()
      if (next !== undefined) {
        next.resume()
        yield { index: next.index, value: next.value }
        continue
      }
      const failed = readFailure()
      if (failed !== null) throw failed.error
      if (numRunning === 0) return void (await Promise.all(pumps))
      await wake.promise
      wake = Promise.withResolvers<void>()
    }
  } finally {
    isEnded = true
    for (const { resume } of arrived) resume()
  }

  /** Control flow analysis does not see the pumps write. */
  function readFailure(): { readonly error: unknown } | null {
    return failure
  }
}
