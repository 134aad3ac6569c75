import { consoleLogger, type Logger } from '@octavo/core'
import { atLevel, createJsonLogger, timedLogger } from '@octavo/server'

export interface LogOptions {
  readonly logFormat: 'text' | 'json'
  readonly logLevel: 'info' | 'warn' | 'error'
}

export interface ServeLoggers {
  /** Its lines go to journals: each has the time, as those of the requests have. */
  readonly own: Logger
  /** For the app, which adds the time. */
  readonly app: Logger
}

export function createLoggers({ logFormat, logLevel }: LogOptions): ServeLoggers {
  const app = logFormat === 'json' ? createJsonLogger({ level: logLevel }) : atLevel(consoleLogger, logLevel)
  return { own: timedLogger(app), app }
}
