import { InvalidConfigError } from '@octavo/core'
import type { FastifyInstance } from 'fastify'

/** Which pages of other origins may call from a browser; `*` is any. */
export interface CorsOptions {
  /** Such as https://chat.example. Default: none. */
  readonly allowedOrigins?: readonly string[] | undefined
  /** Default `*`. */
  readonly allowedMethods?: readonly string[] | undefined
  /** Default `*`. */
  readonly allowedHeaders?: readonly string[] | undefined
  /** Whether browsers send cookies and client certificates along; not with any origin. Default false. */
  readonly allowCredentials?: boolean | undefined
}

/** What a page may read of an answer besides its body. */
const exposedHeaders = ['requests', 'tokens']
  .flatMap((noun) => ['limit', 'remaining', 'reset'].map((what) => `x-ratelimit-${what}-${noun}`))
  .concat('x-request-id', 'request-id', 'retry-after', 'retry-after-ms')
  .join(', ')

const preflightSeconds = 600

/**
 * Answers preflights and marks answers, refusals too: without that a page is not told why.
 * @throws InvalidConfigError for an origin that no browser sends, and credentials for any origin
 */
export function allowOrigins(app: FastifyInstance, options: CorsOptions): void {
  const { allowedOrigins = [], allowedMethods = ['*'], allowedHeaders = ['*'], allowCredentials = false } = options
  checkOrigins(allowedOrigins, allowCredentials)
  if (allowedOrigins.length === 0) return
  app.addHook('onRequest', async ({ headers, method }, reply) => {
    const { origin } = headers
    reply.header('vary', 'Origin')
    if (origin === undefined || !matches(allowedOrigins, origin)) return
    reply.header('access-control-allow-origin', allowedOrigins.includes('*') ? '*' : origin)
    if (allowCredentials) reply.header('access-control-allow-credentials', 'true')
    reply.header('access-control-expose-headers', exposedHeaders)
    const wantedMethod = headers['access-control-request-method']
    if (method !== 'OPTIONS' || wantedMethod === undefined) return
    const wantedHeaders = headers['access-control-request-headers'] ?? ''
    // A star does not stand for Authorization: what is asked for is named.
    reply.headers({
      'access-control-allow-methods': allowedMethods.includes('*') ? wantedMethod : allowedMethods.join(', '),
      'access-control-allow-headers': allowedHeaders.includes('*') ? wantedHeaders : allowedHeaders.join(', '),
      'access-control-max-age': String(preflightSeconds),
    })
    return reply.code(204).send()
  })
}

function matches(allowed: readonly string[], origin: string): boolean {
  return allowed.includes('*') || allowed.includes(origin)
}

function checkOrigins(origins: readonly string[], allowCredentials: boolean): void {
  for (const origin of origins) {
    if (origin === '*' || (URL.canParse(origin) && new URL(origin).origin === origin)) continue
    throw new InvalidConfigError(
      'allowedOrigins',
      `${JSON.stringify(origin)} is not an origin; write it as https://chat.example, without a path, or * for any.`,
    )
  }
  if (allowCredentials && origins.includes('*'))
    throw new InvalidConfigError('allowCredentials', 'is not for any origin; name the origins in allowedOrigins.')
}
