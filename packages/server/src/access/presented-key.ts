import type { IncomingHttpHeaders } from 'node:http'

/** The key that a request shows: `Authorization: Bearer KEY`, or `x-api-key: KEY`, as Anthropic's clients do. */
export function presentedKey({ authorization, 'x-api-key': apiKey }: IncomingHttpHeaders): string | null {
  return (
    /^bearer +(.+)$/i.exec(authorization ?? '')?.[1] ?? (typeof apiKey === 'string' && apiKey !== '' ? apiKey : null)
  )
}
