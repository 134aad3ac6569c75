const marker = Symbol.for('octavo.sdk.api-error')

export interface OctavoApiErrorDetails {
  readonly message: string
  readonly status: number | null
  readonly type?: string | null | undefined
  readonly code?: string | number | null | undefined
  readonly param?: string | null | undefined
  readonly requestId?: string | null | undefined
}

/** The server answered, but with an error or with something that is not its protocol. */
export class OctavoApiError extends Error {
  readonly [marker] = true
  /** HTTP status; for an error inside a stream the one the server names; `null` where there is none. */
  readonly status: number | null
  readonly type: string | null
  readonly code: string | number | null
  /** The request's field at fault. */
  readonly param: string | null
  /** X-Request-Id of the answer, to find it in the server's log. */
  readonly requestId: string | null

  constructor({ message, status, type, code, param, requestId }: OctavoApiErrorDetails, options?: ErrorOptions) {
    super(message, options)
    this.name = 'OctavoApiError'
    this.status = status
    this.type = type ?? null
    this.code = code ?? null
    this.param = param ?? null
    this.requestId = requestId ?? null
  }

  /** Holds across duplicate copies of the package, unlike `instanceof`. */
  static isInstance(error: unknown): error is OctavoApiError {
    return typeof error === 'object' && error !== null && marker in error
  }
}
