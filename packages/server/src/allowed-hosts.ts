import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { HttpError } from './http-error.ts'

/**
 * A page of any site can point its own name at 127.0.0.1 and then read what a server there answers (DNS rebinding). On
 * a loopback address, without keys, the Host header must therefore name this machine.
 */
export function checkHost(app: FastifyInstance, allowedHosts: readonly string[]): void {
  const allowed = new Set(allowedHosts.map((host) => host.toLowerCase()))
  app.addHook('onRequest', async ({ headers: { host } }) => {
    if (host === undefined || !isOnLoopback(app.server.address())) return
    const name = nameOf(host)
    if (isLoopback(name) || allowed.has(name)) return
    throw new HttpError(
      403,
      'This server answers on its loopback address only to the name localhost, since it asks for no key. Its operator can allow other names (allowedHosts) or ask for keys.',
    )
  })
}

/** "localhost:8000" → "localhost", "[::1]:8000" → "::1" */
function nameOf(host: string): string {
  const bracketed = /^\[([^\]]*)\]/.exec(host)?.[1]
  return (bracketed ?? host.replace(/:\d*$/, '')).toLowerCase().replace(/\.$/, '')
}

function isOnLoopback(address: AddressInfo | string | null): boolean {
  return typeof address === 'object' && address !== null && isLoopback(address.address)
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}
