/** Whole seconds, as HTTP has it, and the milliseconds that OpenAI's clients look for first. */
export function retryAfter(ms: number): Record<string, string> {
  const wholeMs = Math.max(1, Math.ceil(ms))
  return { 'retry-after': String(Math.ceil(wholeMs / 1000)), 'retry-after-ms': String(wholeMs) }
}

/** As OpenAI's headers write it: 17ms, 1.5s, 6m0s. */
export function formatSpan(ms: number): string {
  if (ms < 1000) return `${Math.ceil(ms)}ms`
  if (ms < 60_000) return `${Math.ceil(ms / 100) / 10}s`
  const seconds = Math.ceil(ms / 1000)
  return `${Math.floor(seconds / 60)}m${seconds % 60}s`
}
