import { HubError } from '../errors.ts'

/** The proxies of an environment, as curl reads them. */
export interface ProxySettings {
  readonly httpProxy: string | null
  readonly httpsProxy: string | null
  /** Hosts that are reached directly, separated by commas. */
  readonly noProxy: string | null
}

/**
 * `fetch` through these proxies. Node's own heeds HTTPS_PROXY only where NODE_USE_ENV_PROXY was set before it started, and
 * switching that on later would change every other request of the user's program.
 */
export async function createFetch({ httpProxy, httpsProxy, noProxy }: ProxySettings): Promise<typeof fetch> {
  if (httpProxy === null && httpsProxy === null) return fetch
  for (const proxy of [httpProxy, httpsProxy]) {
    if (proxy === null || (/^https?:\/\//i.test(proxy) && URL.canParse(proxy))) continue
    throw new HubError(
      `The proxy ${JSON.stringify(withoutPassword(proxy))} (HTTP_PROXY, HTTPS_PROXY) is not an http or https address, such as http://proxy.example:3128.`,
    )
  }
  const undici = await import('undici')
  const dispatcher = new undici.EnvHttpProxyAgent({
    httpProxy: httpProxy ?? '',
    httpsProxy: httpsProxy ?? '',
    noProxy: noProxy ?? '',
  })
  // undici's `fetch` is the one that Node has built in; only the declarations of the two differ.
  const send = undici.fetch as unknown as (input: URL | string | Request, init: object) => Promise<Response>
  return (input, init) => send(input, { ...init, dispatcher })
}

function withoutPassword(proxy: string): string {
  return proxy.replace(/\/\/[^@/]*@/, '//…@')
}
