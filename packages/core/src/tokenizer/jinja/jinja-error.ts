/** A fault of a template: it cannot be parsed, or an expression has no value. The line is where it stands, if known. */
export class JinjaError extends Error {
  readonly line: number | null

  constructor(message: string, line: number | null = null) {
    super(message)
    this.name = 'JinjaError'
    this.line = line
  }
}

/** What `raise_exception` throws: the template's own words to whoever wrote the messages. */
export class RaisedException extends Error {}
