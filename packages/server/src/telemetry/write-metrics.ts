import type { EngineClient } from '@octavo/core'
import { Registry } from '@prometheus-io/client'
import { engineFamilies } from './engine-families.ts'
import type { HttpMetrics } from './http-metrics.ts'
import { processFamilies } from './process-metrics.ts'

export interface MetricsText {
  readonly contentType: string
  readonly text: string
}

/** Everything that is counted, as text: OpenMetrics for who asks for it, else Prometheus's own. */
export async function writeMetrics(
  { engine, http }: { readonly engine: Pick<EngineClient, 'telemetry'>; readonly http: HttpMetrics },
  accept: string | undefined,
): Promise<MetricsText> {
  const families = [
    ...engineFamilies(engine.telemetry?.() ?? []),
    ...(await http.registry.getMetricsAsJSON()),
    ...processFamilies(),
  ]
  const isOpenMetrics = accept !== undefined && /application\/openmetrics-text/i.test(accept)
  // There the ending is the samples', and the library adds it.
  const named = isOpenMetrics ? families.map((family) => ({ ...family, name: withoutTotal(family) })) : families
  const registry = Registry.aggregate([named])
  registry.setContentType(isOpenMetrics ? Registry.OPENMETRICS_CONTENT_TYPE : Registry.PROMETHEUS_CONTENT_TYPE)
  return { contentType: registry.contentType, text: await registry.metrics() }
}

function withoutTotal({ name, type }: { readonly name: string; readonly type: string }): string {
  return type === 'counter' ? name.replace(/_total$/, '') : name
}
