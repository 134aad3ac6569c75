import { InvalidConfigError, type Logger } from '@octavo/core'
import type { AppOptions } from '@octavo/server'
import type { SpanExporter } from '@opentelemetry/sdk-trace-base'
import { readVersion } from '../version.ts'

export interface Tracing {
  readonly tracer: NonNullable<AppOptions['tracer']>
  /** Sends what has not been sent, within a bound. */
  close(): Promise<void>
}

/** A collector that does not answer holds up the end no longer than this. */
const closeTimeoutMs = 5000

/**
 * Sends spans to a collector by OTLP over HTTP, in batches. What OpenTelemetry reads from the environment holds:
 * OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_BSP_*, OTEL_EXPORTER_OTLP_HEADERS and others.
 * @throws InvalidConfigError where the endpoint is no URL of HTTP, or OpenTelemetry's packages are not installed
 */
export async function openTracing(endpoint: string, logger: Logger): Promise<Tracing> {
  const url = parseEndpoint(endpoint)
  const [{ BasicTracerProvider, BatchSpanProcessor }, { OTLPTraceExporter }, resources] = await importSdk()
  const { defaultResource, detectResources, envDetector, resourceFromAttributes } = resources
  const own = resourceFromAttributes({ 'service.name': 'octavo', 'service.version': readVersion() })
  const given = detectResources({ detectors: [envDetector] })
  const exporter = reportFailures(new OTLPTraceExporter({ url }), logger)
  const provider = new BasicTracerProvider({
    resource: defaultResource().merge(own).merge(given),
    spanProcessors: [new BatchSpanProcessor(exporter)],
  })
  return {
    tracer: provider.getTracer('octavo', readVersion()),
    async close() {
      const late = new Promise((resolve) => setTimeout(resolve, closeTimeoutMs).unref())
      await Promise.race([provider.shutdown().catch(() => undefined), late])
    },
  }
}

/** Without a path, it is the collector's own for traces. */
function parseEndpoint(endpoint: string): string {
  const url = URL.parse(endpoint)
  if (url === null || !['http:', 'https:'].includes(url.protocol))
    throw new InvalidConfigError(
      'otlpTracesEndpoint',
      `must be a URL of HTTP such as http://localhost:4318/v1/traces, got ${JSON.stringify(endpoint)}. A collector's port for gRPC is not used.`,
    )
  if (url.username !== '' || url.password !== '')
    throw new InvalidConfigError(
      'otlpTracesEndpoint',
      'has a user or a password in it, which logs would show; pass them as a header by OTEL_EXPORTER_OTLP_HEADERS.',
    )
  if (url.pathname === '/') url.pathname = '/v1/traces'
  return url.href
}

async function importSdk() {
  try {
    return await Promise.all([
      import('@opentelemetry/sdk-trace-base'),
      import('@opentelemetry/exporter-trace-otlp-http'),
      import('@opentelemetry/resources'),
    ])
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND')) throw cause
    throw new InvalidConfigError(
      'otlpTracesEndpoint',
      "needs OpenTelemetry's packages, which are not installed: npm install @opentelemetry/sdk-trace-base@2 @opentelemetry/exporter-trace-otlp-http@0.223 @opentelemetry/resources@2.",
      { cause },
    )
  }
}

/** Says when spans begin to be lost and when no more are, not each time. */
function reportFailures(exporter: SpanExporter, logger: Logger): SpanExporter {
  let isFailing = false
  return {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        const hasFailed = result.error !== undefined || result.code !== 0
        if (hasFailed && !isFailing)
          logger.warn(`traces are lost: ${result.error?.message ?? 'the collector refused them'}`)
        if (!hasFailed && isFailing) logger.info('traces are taken again')
        isFailing = hasFailed
        done(result)
      }),
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => exporter.forceFlush?.(),
  }
}
