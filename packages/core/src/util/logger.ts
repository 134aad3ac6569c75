/** What a line says, in parts: for loggers that keep these instead of the sentence. Nothing of prompts or outputs. */
export interface LogFields {
  /** "request" */
  readonly event: string
  readonly [name: string]: LogValue | readonly LogValue[]
}

export type LogValue = string | number | boolean | null

/** Where an engine or a server writes; never prompts or outputs. */
export interface Logger {
  /** It writes the time with each line; others' lines are given one. Default false. */
  readonly hasTime?: boolean
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

/** Says nothing. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/** Writes to stderr, so that a program's stdout stays its own. */
export const consoleLogger: Logger = {
  debug() {},
  info: (message) => void process.stderr.write(`${message}\n`),
  warn: (message) => void process.stderr.write(`warning: ${message}\n`),
  error: (message) => void process.stderr.write(`error: ${message}\n`),
}
