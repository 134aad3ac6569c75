import { type EngineTelemetry, type HistogramData, type RequestHistogram, stepTokenBounds } from '@octavo/core'

type Labels = Readonly<Record<string, string>>

interface Sample {
  readonly labels: Labels
  readonly value: number
  /** Where it is not the family's: a histogram's parts have endings. */
  readonly metricName?: string
}

/** All values of one name, as the registry writes them. */
export interface MetricFamily {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly values: readonly Sample[]
}

interface NumberRow {
  readonly name: string
  readonly type: 'counter' | 'gauge'
  readonly help: string
  /** One value, or one for each of further labels; `null` where this engine has none. */
  readonly read: (engine: EngineTelemetry) => number | readonly Sample[] | null
}

interface HistogramRow {
  readonly name: string
  readonly help: string
  readonly read: (engine: EngineTelemetry) => HistogramData
}

// vLLM's names, for its dashboards, alerts and routers.
const numberRows: readonly NumberRow[] = [
  gauge('num_requests_running', 'Sequences in the batch of the last step.', ({ metrics }) => metrics.numRunningSeqs),
  gauge('num_requests_waiting', 'Sequences that wait.', ({ metrics }) => metrics.numWaitingSeqs),
  gauge('num_requests_waiting_by_reason', 'Sequences that wait for room, or for their grammars.', ({ metrics }) => [
    { labels: { reason: 'capacity' }, value: Math.max(0, metrics.numWaitingSeqs - metrics.numDeferredSeqs) },
    { labels: { reason: 'deferred' }, value: metrics.numDeferredSeqs },
  ]),
  gauge('kv_cache_usage_perc', 'Part of the KV cache in use, 0 to 1.', ({ metrics }) => metrics.kvCacheUsage),
  gauge('gpu_cache_usage_perc', 'kv_cache_usage_perc, as it was called.', ({ metrics }) => metrics.kvCacheUsage),
  gauge('cache_config_info', 'What the KV cache is.', ({ metrics, cache }) => [
    {
      labels: {
        block_size: String(cache.blockSize),
        num_gpu_blocks: String(metrics.numKvBlocks),
        cache_dtype: cache.dtype,
        enable_prefix_caching: cache.enablePrefixCaching ? 'True' : 'False',
      },
      value: 1,
    },
  ]),
  gauge('engine_sleep_state', 'What of it is 1: awake, without a KV cache, without weights.', ({ sleepLevel }) => [
    { labels: { sleep_state: 'awake' }, value: sleepLevel === null ? 1 : 0 },
    { labels: { sleep_state: 'weights_offloaded' }, value: sleepLevel === 1 ? 1 : 0 },
    { labels: { sleep_state: 'discard_all' }, value: sleepLevel === 2 ? 1 : 0 },
  ]),
  counter(
    'prefix_cache_queries',
    'Prompt tokens that the prefix cache was asked for.',
    ({ metrics }) => metrics.prefixCacheQueries,
  ),
  counter('prefix_cache_hits', 'Prompt tokens that the prefix cache had.', ({ metrics }) => metrics.prefixCacheHits),
  counter('gpu_prefix_cache_queries', 'prefix_cache_queries, as it was called.', (e) => e.metrics.prefixCacheQueries),
  counter('gpu_prefix_cache_hits', 'prefix_cache_hits, as it was called.', (e) => e.metrics.prefixCacheHits),
  counter('num_preemptions', 'Sequences that lost their blocks to others.', ({ metrics }) => metrics.numPreemptions),
  counter('prompt_tokens', 'Prompt tokens of requests whose first token is out.', (e) => e.requests.promptTokens),
  counter('prompt_tokens_by_source', 'prompt_tokens, computed or from the prefix cache.', ({ requests }) => [
    { labels: { source: 'local_compute' }, value: requests.promptTokens - requests.cachedPromptTokens },
    { labels: { source: 'local_cache_hit' }, value: requests.cachedPromptTokens },
  ]),
  counter('prompt_tokens_cached', 'Of prompt_tokens, from the prefix cache.', (e) => e.requests.cachedPromptTokens),
  counter('generation_tokens', 'Generated tokens.', ({ requests }) => requests.generationTokens),
  counter('request_success', 'Samples that have ended, by how.', ({ requests }) =>
    Object.entries(requests.finished).map(([reason, value]) => ({ labels: { finished_reason: reason }, value })),
  ),
  counter('corrupted_requests', 'Requests that failed by logits that are no numbers.', (e) => e.requests.corrupted),
  counter(
    'spec_decode_num_drafts',
    'Sequences that took drafts along, once per step.',
    ({ metrics }) => metrics.drafts && metrics.drafts.numDrafts,
  ),
  counter('spec_decode_num_draft_tokens', 'Tokens that were guessed.', (e) => e.metrics.drafts?.numDraftTokens ?? null),
  counter(
    'spec_decode_num_accepted_tokens',
    'Guessed tokens that were the sampled ones.',
    (e) => e.metrics.drafts?.numAcceptedTokens ?? null,
  ),
  counter(
    'spec_decode_num_accepted_tokens_per_pos',
    'Guessed tokens that were the sampled ones, by their place.',
    ({ metrics: { drafts } }) =>
      drafts &&
      drafts.numAcceptedPerPosition.map((value, position) => ({ labels: { position: String(position) }, value })),
  ),
]

const histogramRows: readonly HistogramRow[] = [
  ofRequests('time_to_first_token_seconds', 'From arrival to the first token.', 'timeToFirstToken'),
  ofRequests('inter_token_latency_seconds', 'Between steps that brought tokens.', 'interTokenLatency'),
  ofRequests('request_time_per_output_token_seconds', 'Mean after the first token.', 'timePerOutputToken'),
  ofRequests('e2e_request_latency_seconds', 'From arrival to the last token.', 'endToEnd'),
  ofRequests('request_queue_time_seconds', 'Until a step first took it.', 'queueTime'),
  ofRequests('request_inference_time_seconds', 'From the first step to the last token.', 'inferenceTime'),
  ofRequests('request_prefill_time_seconds', 'From the first step to the first token.', 'prefillTime'),
  ofRequests('request_decode_time_seconds', 'From the first to the last token.', 'decodeTime'),
  ofRequests('request_prompt_tokens', 'Tokens of the prompt.', 'promptTokens'),
  ofRequests('request_prefill_kv_computed_tokens', 'Tokens of the prompt but the cached ones.', 'computedPromptTokens'),
  ofRequests('request_generation_tokens', 'Generated tokens.', 'generationTokens'),
  ofRequests('request_max_num_generation_tokens', 'Of the longest sample of a request.', 'maxGenerationTokens'),
  ofRequests('request_params_max_tokens', 'Asked for, or the room in the context.', 'maxTokens'),
  ofRequests('request_params_n', 'Samples of a request.', 'numSamples'),
  {
    name: 'vllm:iteration_tokens_total',
    help: 'Tokens that a step computed.',
    read: ({ metrics }) => ({ ...metrics.stepTokens, bounds: stepTokenBounds }),
  },
]

/** What all engines tell, under vLLM's names. */
export function engineFamilies(engines: readonly EngineTelemetry[]): MetricFamily[] {
  const numbers = numberRows.map(({ name, type, help, read }) => {
    const values = valuesOf(engines, (engine) => {
      const value = read(engine)
      return typeof value === 'number' ? [{ labels: {}, value }] : (value ?? [])
    })
    return { name, type, help, values }
  })
  const histograms = histogramRows.map(({ name, help, read }) => ({
    name,
    type: 'histogram' as const,
    help,
    values: valuesOf(engines, (engine) => histogramSamples(name, read(engine))),
  }))
  return [...numbers, ...histograms].filter(({ values }) => values.length > 0)
}

function valuesOf(
  engines: readonly EngineTelemetry[],
  read: (engine: EngineTelemetry) => readonly Sample[],
): readonly Sample[] {
  return engines.flatMap((engine, index) => {
    const own = { engine: String(index), model_name: engine.modelName }
    return read(engine).map((sample) => ({ ...sample, labels: { ...own, ...sample.labels } }))
  })
}

function histogramSamples(name: string, { bounds, counts, sum }: HistogramData): Sample[] {
  let total = 0
  const buckets = counts.map((count, i) => {
    total += count
    return {
      labels: { le: i < bounds.length ? goFloat(bounds[i]!) : '+Inf' },
      value: total,
      metricName: `${name}_bucket`,
    }
  })
  return [
    ...buckets,
    { labels: {}, value: sum, metricName: `${name}_sum` },
    { labels: {}, value: total, metricName: `${name}_count` },
  ]
}

/** As vLLM's library writes it ("0.5", "2.0", "1e+06"): a label is compared as text. */
function goFloat(bound: number): string {
  if (!Number.isInteger(bound)) return String(bound)
  return bound < 1e6 ? bound.toFixed(1) : bound.toExponential().replace(/e\+(\d)$/, 'e+0$1')
}

function gauge(name: string, help: string, read: NumberRow['read']): NumberRow {
  return { name: `vllm:${name}`, type: 'gauge', help, read }
}

function counter(name: string, help: string, read: NumberRow['read']): NumberRow {
  return { name: `vllm:${name}_total`, type: 'counter', help, read }
}

function ofRequests(name: string, help: string, histogram: RequestHistogram): HistogramRow {
  return { name: `vllm:${name}`, help, read: ({ requests }) => requests.histograms[histogram] }
}
