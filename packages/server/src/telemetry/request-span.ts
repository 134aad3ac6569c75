import { type Context, createTraceState, isSpanContextValid, ROOT_CONTEXT, trace } from '@opentelemetry/api'
import { type Attributes, type Span, SpanKind, SpanStatusCode, type Tracer } from '@opentelemetry/api'
import type { RequestStats } from '@octavo/core'
import type { IncomingHttpHeaders } from 'node:http'
import { sumStats } from './sum-stats.ts'

export interface SpanStart {
  readonly requestId: string
  readonly method: string
  readonly route: string
  /** What a model is to do: "chat". */
  readonly operation: string
  readonly headers: IncomingHttpHeaders
}

export interface SpanEnd {
  /** `null`: the client was gone before the answer was complete. */
  readonly status: number | null
  /** As it is served, if the request got that far. */
  readonly model: string | null
  /** Of what the engine did for it. */
  readonly stats: readonly RequestStats[]
}

/** vLLM's span of a request, below the caller's own. */
export function startRequestSpan(tracer: Tracer, { requestId, method, route, operation, headers }: SpanStart): Span {
  const attributes = {
    'gen_ai.request.id': requestId,
    'gen_ai.operation.name': operation,
    'http.request.method': method,
    'http.route': route,
  }
  return tracer.startSpan('llm_request', { kind: SpanKind.SERVER, attributes }, callerContext(headers))
}

export function endRequestSpan(span: Span, end: SpanEnd): void {
  const { status, stats } = end
  span.setAttributes(outcome(end))
  const hasFailed = stats.some(({ finishReasons }) => finishReasons.includes('error'))
  if (hasFailed || (status !== null && status >= 500)) span.setStatus({ code: SpanStatusCode.ERROR })
  span.end()
}

/** A span of what went on after its request had been answered, below that one's. */
export function addLateSpan(
  tracer: Tracer,
  parent: Span,
  { model, stats }: { readonly model: string | null; readonly stats: RequestStats },
): void {
  const attributes = { ...modelAttributes(model), ...engineAttributes([stats]) }
  const options = { kind: SpanKind.INTERNAL, startTime: stats.arrivedMs, attributes }
  const span = tracer.startSpan('llm_request', options, trace.setSpan(ROOT_CONTEXT, parent))
  if (stats.finishReasons.includes('error')) span.setStatus({ code: SpanStatusCode.ERROR })
  span.end(stats.endedMs)
}

function modelAttributes(model: string | null): Attributes {
  return model === null ? {} : { 'gen_ai.request.model': model, 'gen_ai.response.model': model }
}

function outcome({ status, model, stats }: SpanEnd): Attributes {
  const hasEnded = status !== null
  return {
    'http.response.status_code': status ?? 499,
    ...(hasEnded && status >= 400 && { 'error.type': String(status) }),
    ...(!hasEnded && { 'error.type': 'client_gone' }),
    ...modelAttributes(model),
    ...(stats.length > 0 && engineAttributes(stats)),
  }
}

function engineAttributes(stats: readonly RequestStats[]): Attributes {
  const { numPromptTokens, numCachedTokens, numGenerationTokens, finishReasons } = sumStats(stats)
  const [first] = stats
  const params = first?.params ?? null
  return {
    'gen_ai.usage.prompt_tokens': numPromptTokens,
    'gen_ai.usage.completion_tokens': numGenerationTokens,
    'gen_ai.usage.cached_tokens': numCachedTokens,
    'gen_ai.usage.num_sequences': finishReasons.length,
    'gen_ai.response.finish_reasons': finishReasons,
    ...(params !== null && {
      'gen_ai.request.temperature': params.temperature,
      'gen_ai.request.top_p': params.topP,
      'gen_ai.request.n': params.n,
      ...(params.maxTokens !== null && { 'gen_ai.request.max_tokens': params.maxTokens }),
    }),
    ...latencies(stats),
  }
}

/** Seconds. Of several prompts in one request: until the first token of any, the rest of the one that came first. */
function latencies(stats: readonly RequestStats[]): Attributes {
  const arrivedMs = Math.min(...stats.map((one) => one.arrivedMs))
  const endedMs = Math.max(...stats.map((one) => one.endedMs))
  const firstTokens = stats.flatMap(({ firstTokenMs }) => firstTokenMs ?? [])
  const times = stats[0]?.times ?? null
  const seconds = (name: string, fromMs: number | null | undefined, toMs: number | null | undefined): Attributes =>
    fromMs == null || toMs == null ? {} : { [`gen_ai.latency.${name}`]: Math.max(0, toMs - fromMs) / 1000 }
  return {
    ...seconds('e2e', arrivedMs, endedMs),
    ...seconds('time_to_first_token', arrivedMs, firstTokens.length === 0 ? null : Math.min(...firstTokens)),
    ...seconds('time_in_queue', times?.queuedMs, times?.scheduledMs),
    ...seconds('time_in_model_prefill', times?.scheduledMs, times?.firstTokenMs),
    ...seconds('time_in_model_decode', times?.firstTokenMs, times?.lastTokenMs),
    ...seconds('time_in_model_inference', times?.scheduledMs, times?.lastTokenMs),
  }
}

const maxTraceStateLength = 512

/** W3C's traceparent and tracestate; what is malformed begins a trace of its own, as that standard has it. */
export function callerContext({ traceparent, tracestate }: IncomingHttpHeaders): Context {
  const fields = typeof traceparent === 'string' ? traceparentPattern.exec(traceparent) : null
  if (fields === null || fields[1] === 'ff' || (fields[1] === '00' && fields[5] !== undefined)) return ROOT_CONTEXT
  const spanContext = {
    traceId: fields[2]!,
    spanId: fields[3]!,
    traceFlags: Number.parseInt(fields[4]!, 16),
    isRemote: true,
    ...(typeof tracestate === 'string' &&
      tracestate.length <= maxTraceStateLength && { traceState: createTraceState(tracestate) }),
  }
  return isSpanContextValid(spanContext) ? trace.setSpanContext(ROOT_CONTEXT, spanContext) : ROOT_CONTEXT
}

/** Version, trace, span, flags, and what later versions may add. */
const traceparentPattern = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/
