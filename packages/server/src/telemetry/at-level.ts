import type { Logger } from '@octavo/core'
import type { LogLevel } from './json-logger.ts'

const levels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

/** Passes on what is at least as important. */
export function atLevel(logger: Logger, level: LogLevel): Logger {
  const say = (own: LogLevel): Logger[LogLevel] =>
    levels.indexOf(own) < levels.indexOf(level) ? () => undefined : (message, fields) => logger[own](message, fields)
  return {
    ...(logger.hasTime !== undefined && { hasTime: logger.hasTime }),
    debug: say('debug'),
    info: say('info'),
    warn: say('warn'),
    error: say('error'),
  }
}
