import type { GenerateRequest, RequestOutput, TurnQueue } from '@octavo/core'

interface GenerateInTurnsOptions {
  readonly turns: TurnQueue
  readonly signal: AbortSignal
  readonly generate: (request: GenerateRequest) => AsyncIterable<RequestOutput>
}

/** Beginning a thousand generations in one go would keep every other request waiting. */
export function generateInTurns(
  requests: readonly GenerateRequest[],
  { turns, signal, generate }: GenerateInTurnsOptions,
): AsyncIterable<RequestOutput>[] {
  return requests.map(async function* (one) {
    yield* await turns.run(() => generate(one), { caller: requests, signal })
  })
}
