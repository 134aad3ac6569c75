export interface RunInOrderOptions<Line, Result> {
  /** Resolves when the next line's turn has come: to whether it has a place to leave. */
  readonly enter: () => Promise<boolean>
  readonly run: (line: Line, hasPlace: boolean) => Promise<Result>
  /** One at a time, in the order of the lines. */
  readonly write: (result: Result) => Promise<void>
  /** Results that may wait for one that takes longer. */
  readonly maxHeld: number
}

/** Runs lines side by side and writes what came of them in their order: so what is written is always a beginning, from which it can go on after a restart. Rejects with the first failure of `run` or `write`. */
export async function runInOrder<Line, Result>(
  lines: AsyncIterable<Line>,
  { enter, run, write, maxHeld }: RunInOrderOptions<Line, Result>,
): Promise<void> {
  const held: Promise<void>[] = []
  let written: Promise<void> = Promise.resolve()
  let hasFailed = false
  for await (const line of lines) {
    if (hasFailed) break
    if (held.length >= maxHeld) await held.shift()
    const result = run(line, await enter())
    const before = written
    written = (async () => {
      // Both, so that neither fails with nobody looking.
      const [, value] = await Promise.all([before, result])
      await write(value)
    })()
    written.catch(() => {
      hasFailed = true
    })
    held.push(written)
  }
  await written
}
