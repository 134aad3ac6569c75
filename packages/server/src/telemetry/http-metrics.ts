import { Counter, Histogram, Registry } from '@prometheus-io/client'

export interface HttpEnd {
  readonly method: string
  /** The pattern of the path, never the path itself: that could be anything. `null` where nothing serves it. */
  readonly route: string | null
  /** `null`: the client was gone before the answer was complete. */
  readonly status: number | null
  readonly ms: number
}

/** Probes and scrapes would drown the rest; vLLM leaves the same ones out. */
const uncounted: ReadonlySet<string> = new Set(['/health', '/load', '/metrics', '/ping', '/ready', '/version'])

const knownMethods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** Counts HTTP requests under the names that vLLM's have. */
export class HttpMetrics {
  readonly registry = new Registry()
  readonly #prefix: string
  readonly #requests = new Counter({
    name: 'http_requests_total',
    help: 'Answered requests by method, status and handler; 499: the client was gone before the answer was complete.',
    labelNames: ['method', 'status', 'handler'],
    registers: [this.registry],
  })
  readonly #seconds = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'From the headers of a request to the end of its answer, streams included.',
    labelNames: ['method', 'handler'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    registers: [this.registry],
  })

  /** @param prefix of the app's paths */
  constructor(prefix: string) {
    this.#prefix = prefix
  }

  count({ method, route, status, ms }: HttpEnd): void {
    if (route !== null && uncounted.has(route.slice(this.#prefix.length))) return
    const labels = { method: knownMethods.has(method) ? method : 'OTHER', handler: route ?? 'none' }
    this.#requests.inc({ ...labels, status: status === null ? '499' : `${Math.floor(status / 100)}xx` })
    this.#seconds.observe(labels, ms / 1000)
  }
}
