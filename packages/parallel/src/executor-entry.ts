/** What an engine's thread imports by the module's URL. */
import type { CreateExecutor } from '@octavo/core/engine'
import { ParallelExecutor } from './parallel-executor.ts'
import { resolveParallelOptions } from './parallel-options.ts'

export const createExecutor: CreateExecutor = (context, options = {}) =>
  new ParallelExecutor(context, resolveParallelOptions(options))
