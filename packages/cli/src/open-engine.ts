import {
  AsyncEngine,
  consoleLogger,
  type EngineHooks,
  type EngineOptions,
  formatBytes,
  type Logger,
} from '@octavo/core'
import { parallelModules } from '@octavo/parallel/executor'
import { backendModules } from './backend-modules.ts'
import { type EngineFlags, parallelOptionsOf } from './flags/engine-flags.ts'
import { ProgressBar } from './ui/progress-bar.ts'

export interface OpenEngineOptions extends Pick<EngineHooks, 'restart' | 'onDead'> {
  /** No word of what is loaded. */
  readonly isQuiet?: boolean
  /** Show how far a download or a load is. Default true. */
  readonly hasProgress?: boolean
  /** Default: the console. */
  readonly logger?: Logger
}

/** Loads the model with progress on stderr, and says what was loaded and how much it can hold. */
export async function openEngine(
  options: EngineOptions,
  flags: EngineFlags,
  { isQuiet = false, hasProgress = true, logger = consoleLogger, ...hooks }: OpenEngineOptions = {},
): Promise<AsyncEngine> {
  const bar = new ProgressBar()
  const startedAt = performance.now()
  try {
    const engine = await AsyncEngine.create(options, {
      ...hooks,
      logger: isQuiet ? { ...logger, info() {} } : logger,
      modules: [...backendModules(flags), ...parallelModules(parallelOptionsOf(flags))],
      onDownloadProgress: ({ file, loadedBytes, totalBytes }) => {
        if (hasProgress) bar.update(`downloading ${file}`, loadedBytes, totalBytes)
      },
      onLoadProgress: (loaded, total) => {
        if (hasProgress && !isQuiet) bar.update(`loading ${options.model}`, loaded, total)
      },
    })
    bar.end()
    if (!isQuiet) logger.info(describe(engine, options.model, performance.now() - startedAt))
    return engine
  } catch (error) {
    bar.end()
    throw error
  }
}

function describe({ info }: AsyncEngine, model: string, tookMs: number): string {
  const cache = info.needsWholePrompts
    ? 'no KV cache'
    : `${info.numBlocks} KV blocks of ${info.blockSize} tokens (${formatBytes(info.kvCacheBytes)})`
  return `${model}: ${formatBytes(info.weightBytes)} of weights on backend ${info.backend}, context ${info.maxModelLen}, ${cache}, ready in ${(tookMs / 1000).toFixed(1)} s`
}
