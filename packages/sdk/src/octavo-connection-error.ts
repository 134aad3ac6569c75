const marker = Symbol.for('octavo.sdk.connection-error')

/** No complete answer came: the server is unreachable, the connection broke, or time ran out (`isTimeout`). */
export class OctavoConnectionError extends Error {
  readonly [marker] = true
  readonly isTimeout: boolean

  constructor(message: string, { isTimeout = false, cause }: { isTimeout?: boolean; cause?: unknown } = {}) {
    super(message, { cause })
    this.name = 'OctavoConnectionError'
    this.isTimeout = isTimeout
  }

  /** Holds across duplicate copies of the package, unlike `instanceof`. */
  static isInstance(error: unknown): error is OctavoConnectionError {
    return typeof error === 'object' && error !== null && marker in error
  }
}
