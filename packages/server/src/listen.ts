import { once } from 'node:events'
import { createServer } from 'node:net'
import { InvalidConfigError } from '@octavo/core'
import type { FastifyInstance } from 'fastify'

/** Where to listen. */
export interface ListenOptions {
  /** Default 127.0.0.1: only this machine. */
  readonly host?: string
  /** Default 8000; 0 = any free port. */
  readonly port?: number
}

/** A server that accepts requests. */
export interface RunningServer {
  /** "http://127.0.0.1:8000" */
  readonly url: string
  readonly host: string
  readonly port: number
  /** Stops accepting, lets running requests finish (see drainTimeoutMs), closes every socket. */
  close(): Promise<void>
}

/**
 * Serves the app.
 * @throws InvalidConfigError where the address cannot be had: port taken, port reserved, no such host
 */
export async function listen(
  app: FastifyInstance,
  { host = '127.0.0.1', port = 8000 }: ListenOptions = {},
): Promise<RunningServer> {
  try {
    await app.listen({ host, port })
  } catch (error) {
    throw explainListenError(error, { host, port })
  }
  const address = app.server.address()
  const boundPort = typeof address === 'object' && address !== null ? address.port : port
  const urlHost = host.includes(':') ? `[${host}]` : host
  const scheme = app.initialConfig.https === undefined || app.initialConfig.https === false ? 'http' : 'https'
  return { url: `${scheme}://${urlHost}:${boundPort}`, host, port: boundPort, close: () => app.close() }
}

/**
 * Says at once that an address cannot be had, not after a model has been loaded for minutes.
 * @throws InvalidConfigError as `listen` does
 */
export async function checkAddress({ host = '127.0.0.1', port = 8000 }: ListenOptions = {}): Promise<void> {
  const probe = createServer()
  try {
    probe.listen(port, host)
    await once(probe, 'listening')
  } catch (error) {
    throw explainListenError(error, { host, port })
  }
  await new Promise((resolve) => probe.close(resolve))
}

function explainListenError(error: unknown, { host, port }: { host: string; port: number }): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error
  switch (error.code) {
    case 'EADDRINUSE':
      return new InvalidConfigError(
        'port',
        `${port} is already in use on ${host}; stop the program that has it, or choose another port (0 = any free one).`,
        { cause: error },
      )
    case 'EACCES':
      return new InvalidConfigError('port', `${port} may not be opened by this user; choose one of at least 1024.`, {
        cause: error,
      })
    case 'ERR_SOCKET_BAD_PORT':
      return new InvalidConfigError('port', `must be an integer from 0 to 65535, got ${port}.`, { cause: error })
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new InvalidConfigError(
        'host',
        `${host} is not an address of this machine; use 127.0.0.1, or 0.0.0.0 for all its interfaces.`,
        { cause: error },
      )
    default:
      return error
  }
}
