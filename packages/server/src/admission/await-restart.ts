import { setTimeout as sleep } from 'node:timers/promises'
import { type EngineClient, OctavoError } from '@octavo/core'

export interface AwaitRestartOptions {
  /** How long a request may wait for an engine that is started again. */
  readonly waitMs: number
  readonly signal: AbortSignal | undefined
}

const pollMs = 100

/**
 * Starts something at the engine; while that is being started again, as soon as it serves. What the engine has once taken is
 * not repeated when it dies: it may be what it died of.
 *
 * @throws EngineDeadError when the time is over
 */
export async function startWhenServing<Started>(
  engine: Pick<EngineClient, 'checkHealth'>,
  start: () => Promise<Started>,
  { waitMs, signal }: AwaitRestartOptions,
): Promise<Started> {
  const deadline = performance.now() + waitMs
  for (;;) {
    // Of several engines the one that is asked may serve: only it knows.
    const isHealthy = await engine.checkHealth().then(
      () => true,
      () => false,
    )
    try {
      return await start()
    } catch (error) {
      if (isHealthy || !isRestarting(error) || performance.now() >= deadline) throw error
    }
    await sleep(pollMs, undefined, signal === undefined ? {} : { signal }).catch(() => signal?.throwIfAborted())
  }
}

function isRestarting(error: unknown): boolean {
  return OctavoError.isInstance(error) && 'retryAfterMs' in error && typeof error.retryAfterMs === 'number'
}
