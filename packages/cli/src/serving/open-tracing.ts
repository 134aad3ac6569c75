import { InvalidConfigError, type Logger, waitAtMost } from '@octavo/core'
import type { AppOptions } from '@octavo/server'
import type { SpanExporter } from '@opentelemetry/sdk-trace-base'
import { readVersion } from '../version.ts'

export interface Tracing {
  readonly tracer: NonNullable<AppOptions['tracer']>
  /** Sends what has not been sent, within a bound. */
  close(): Promise<void>
}

/** At the end, a collector that does not answer is not waited for longer. */
const closeTimeoutMs = 5000

/**
 * Sends spans to a collector by OTLP over HTTP, in batches. OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES,
 * OTEL_TRACES_SAMPLER and OTEL_EXPORTER_OTLP_HEADERS mean what OpenTelemetry says.
 * @throws InvalidConfigError where the endpoint is no URL, or the packages of OpenTelemetry are not installed
 */
export async function openTracing(endpoint: string, logger: Logger): Promise<Tracing> {
  const url = parseEndpoint(endpoint)
  const { base, otlp, resources } = await importSdk()
  const { defaultResource, detectResources, envDetector, resourceFromAttributes } = resources
  const own = resourceFromAttributes({ 'service.name': 'octavo', 'service.version': readVersion() })
  const exporter = reportFailures(new otlp.OTLPTraceExporter({ url }), { logger, ExportResultCode })
  const provider = new base.BasicTracerProvider({
    resource: defaultResource()
      .merge(own)
      .merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new base.BatchSpanProcessor(exporter)],
  })
  return {
    tracer: provider.getTracer('octavo', readVersion()),
    close: async () => void (await waitAtMost(provider.shutdown(), closeTimeoutMs)),
  }
}
