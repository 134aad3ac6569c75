const sameSignalMs = 500

/**
 * Calls `onStop` at the first SIGINT or SIGTERM, at SIGHUP unless there is an `onReload` for it, and when the process that started us over a message channel is
 * gone; a second signal ends the process at once. Returns a function that removes the handlers.
 */
export function onStopSignal(onStop: (reason: string) => void, onReload: (() => void) | null = null): () => void {
  // On a terminal it says that the terminal is gone.
  const reload = process.stdin.isTTY ? null : onReload
  const signals = reload === null ? (['SIGINT', 'SIGTERM', 'SIGHUP'] as const) : (['SIGINT', 'SIGTERM'] as const)
  let firstAt: number | null = null
  const stop = (reason: string): void => {
    const now = performance.now()
    if (firstAt === null) {
      firstAt = now
      onStop(reason)
    } else if (now - firstAt > sameSignalMs) {
      // Sooner it is the same Ctrl-C, once from the terminal and once through npm.
      // Node waits at its end for all threads, and one may be inside a native call: a third signal ends even that.
      forget()
      process.exit(130)
    }
  }
  const onParentGone = (): void => {
    if (firstAt === null) stop('parent gone')
  }
  const forget = (): void => {
    for (const signal of signals) process.off(signal, stop)
    process.off('disconnect', onParentGone)
    if (reload !== null) process.off('SIGHUP', reload)
  }
  for (const signal of signals) process.on(signal, stop)
  process.on('disconnect', onParentGone)
  if (reload !== null) process.on('SIGHUP', reload)
  return forget
}
