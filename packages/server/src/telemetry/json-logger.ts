import type { LogFields, Logger } from '@octavo/core'
import { destination, type DestinationStream, pino, stdTimeFunctions } from 'pino'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface JsonLoggerOptions {
  /** Default 'info'. */
  readonly level?: LogLevel
  /** Default: the process's stderr, each line written at once. */
  readonly stream?: DestinationStream
}

/** A JSON object per line: `level`, `time`, `msg`, and what the line says in parts instead of its sentence. */
export function createJsonLogger({ level = 'info', stream }: JsonLoggerOptions = {}): Logger {
  const options = {
    level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  const log = pino(options, stream ?? destination({ dest: 2, sync: true }))
  const write =
    (at: LogLevel) =>
    (message: string, fields?: LogFields): void => {
      if (fields === undefined) return log[at](message)
      const { event, ...parts } = fields
      log[at](parts, event)
    }
  return { hasTime: true, debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}
