import { editDistance } from '@octavo/core'
import type { Dialect } from './dialect.ts'
import { HttpError } from './http-error.ts'
import type { KnownEndpoint } from './known-endpoint.ts'
import { openaiDialect } from './openai/dialect.ts'

/** How a path is spoken of that nothing serves: as what it stands below. */
export function dialectOf(url: string, endpoints: readonly KnownEndpoint[]): Dialect {
  const above = endpoints.find((endpoint) => url.startsWith(`${endpoint.url}/`))
  return above?.dialect ?? openaiDialect
}

const maxQuotedLength = 120

/** What to say of a path that nothing serves: a 405 where only the method is wrong, else a 404 that names the nearest endpoint. */
export function explainUnknownPath(method: string, url: string, endpoints: readonly KnownEndpoint[]): HttpError {
  const path = url.split('?', 1)[0]!.slice(0, maxQuotedLength)
  const same = endpoints.find((endpoint) => endpoint.url === path.replace(/\/$/, ''))
  if (same !== undefined) {
    const allow = same.methods.join(', ')
    return new HttpError(405, `${method} is not allowed here; use ${allow}.`, { headers: { allow } })
  }
  const nearest = endpoints
    .map((endpoint) => ({ endpoint, distance: editDistance(tailOf(path), tailOf(endpoint.url)) }))
    .reduce((best, next) => (next.distance < best.distance ? next : best)).endpoint
  const name = `${nearest.methods[0] ?? 'GET'} ${nearest.url.replace(/\/?\*$/, '')}`
  return new HttpError(404, `There is no ${method} ${JSON.stringify(path)} here; the nearest endpoint is ${name}.`)
}

/** A version or a prefix that was forgotten, or put there twice, is the commonest mistake: it counts for little. */
function tailOf(url: string): string {
  return url.replace(/\/?\*$/, '').replace(/^.*\/v\d+(?=\/)/, '')
}
