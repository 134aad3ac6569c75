import { X509Certificate } from 'node:crypto'
import { createSecureContext, Server } from 'node:tls'
import { InvalidConfigError } from '@octavo/core'
import type { FastifyInstance } from 'fastify'

/** Contents of PEM files. */
export interface TlsOptions {
  readonly key: string | Buffer
  /** The server's certificate, with those between it and the root. */
  readonly cert: string | Buffer
  /** With it, clients must show a certificate that one of these has signed. */
  readonly clientCa?: string | Buffer | undefined
}

const handshakeTimeoutMs = 10_000

/** @throws InvalidConfigError for a key and certificates that do not go together; nothing of them is quoted */
export function serverTlsOptions(tls: TlsOptions): object {
  checkTls(tls)
  const { key, cert, clientCa } = tls
  const client = clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }
  return { key, cert, ...client, minVersion: 'TLSv1.2', handshakeTimeout: handshakeTimeoutMs }
}

/** Other certificates from now on; connections that are open keep theirs. @throws InvalidConfigError */
export function renewTls(app: FastifyInstance, tls: TlsOptions): void {
  checkTls(tls)
  const server: unknown = app.server
  if (!(server instanceof Server)) throw new InvalidConfigError('tls', 'was not given when the app was created.')
  // Without its own authorities the server would take the world's, and with them it would still ask nobody.
  if ((tls.clientCa !== undefined) !== asksForCertificates(server))
    throw new InvalidConfigError('tls', 'must go on with clientCa or without it, as when the app was created.')
  server.setSecureContext({
    key: tls.key,
    cert: tls.cert,
    ...(tls.clientCa !== undefined && { ca: tls.clientCa }),
    minVersion: 'TLSv1.2',
  })
}

/** What Node keeps of the option of this name. */
function asksForCertificates(server: Server): boolean {
  return 'requestCert' in server && server.requestCert === true
}

export function checkTls({ key, cert, clientCa }: TlsOptions): void {
  try {
    // An empty one would be as good as none to the next.
    for (const one of clientCa === undefined ? [cert] : [cert, clientCa]) void new X509Certificate(one)
    createSecureContext({ key, cert, ...(clientCa !== undefined && { ca: clientCa }) })
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
    throw new InvalidConfigError(
      'tls',
      `key and certificates cannot be used (OpenSSL says ${reason}); they must be PEM, and the key that of the first certificate.`,
    )
  }
}
