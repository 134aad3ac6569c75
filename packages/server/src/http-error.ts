export interface HttpErrorOptions {
  readonly param?: string | null
  /** Default: the status. */
  readonly code?: number | string
  /** Default: by status. */
  readonly type?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Our names per status; those vLLM has are the same there. */
const typesByStatus: Readonly<Record<number, string>> = {
  400: 'BadRequestError',
  401: 'AuthenticationError',
  403: 'PermissionDeniedError',
  404: 'NotFoundError',
  405: 'MethodNotAllowedError',
  413: 'PayloadTooLargeError',
  415: 'UnsupportedMediaTypeError',
  429: 'RateLimitError',
  500: 'InternalServerError',
  503: 'ServiceUnavailableError',
}

/** An answer other than success. The message goes to the client as it is: no paths, no addresses, nobody else's data. */
export class HttpError extends Error {
  readonly status: number
  readonly type: string
  readonly code: number | string
  readonly param: string | null
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, message: string, options: HttpErrorOptions = {}) {
    super(message)
    this.name = 'HttpError'
    this.status = status
    this.type = options.type ?? typesByStatus[status] ?? (status < 500 ? 'BadRequestError' : 'InternalServerError')
    this.code = options.code ?? status
    this.param = options.param ?? null
    this.headers = options.headers ?? {}
  }
}
