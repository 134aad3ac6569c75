import type { EngineModule } from '@octavo/core'
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
