import type { EngineModule } from '@octavo/core'
import { launchedPlace } from './launch/launched-place.ts'
import type { ParallelOptions } from './parallel-option-table.ts'
import { isParallel, resolveParallelOptions } from './parallel-options.ts'

/**
 * For an engine's `modules`: its model runs on several ranks. The package `octavo` takes the same options as `parallel`.
 * @throws InvalidConfigError at once, before anything is loaded
 */
export function parallelExecutor(options: ParallelOptions): EngineModule {
  resolveParallelOptions(options)
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  return {
    kind: 'executor',
    name: 'parallel',
    url: new URL(import.meta.url.endsWith('.ts') ? './executor-entry.ts' : './executor-entry.js', import.meta.url).href,
    options: Object.fromEntries(given),
  }
}

/** The same where several ranks are asked for, and nothing where the engine's own thread does. */
export function parallelModules(options: ParallelOptions): EngineModule[] {
  return isParallel(resolveParallelOptions(options)) ? [parallelExecutor(options)] : []
}

/**
 * In a process that an MPI launcher started as one of the ranks that the options ask for, but not the first: serves that one
 * until it lets this process go, which then ends. Elsewhere nothing happens.
 * @throws InvalidConfigError where the launcher started more or fewer ranks
 */
export async function serveIfLaunched(options: ParallelOptions): Promise<void> {
  const config = resolveParallelOptions(options)
  const place = launchedPlace(config)
  if (place === null || place.rank === 0) return
  const { serveFirstRank } = await import('./rank/serve-driver.ts')
  await serveFirstRank(place.rank, config.heartbeatTimeoutMs)
  process.exit(0)
}
