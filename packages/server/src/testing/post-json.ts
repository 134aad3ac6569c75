import type { AppOptions } from '../app.ts'
import { createApp } from '../app.ts'

/** One request to a server of its own. */
export function postJson(url: string, payload: object, options: AppOptions) {
  return createApp({ version: '0', ...options }).inject({
    method: 'POST',
    url,
    headers: { 'x-request-id': 'r' },
    payload,
  })
}
