import type { PoolingOutput, PoolingParamsInput, TurnQueue } from '@octavo/core'
import type { PoolingInput, PoolingOptions } from '@octavo/sdk/protocol'
import type { JsonSource } from '../json-source.ts'
import type { Pooling } from './open-pooling.ts'
import { commonPoolingFields } from './open-pooling.ts'
import { poolPrompts } from './pool-prompts.ts'
import { poolingPrompts } from './pooling-prompts.ts'

interface PoolInputsOptions {
  readonly pooling: Pooling
  readonly params: PoolingParamsInput
  readonly turns: TurnQueue
  readonly source?: JsonSource | undefined
}

/** What the engine makes of a body's inputs, in their order. */
export async function poolInputs(
  body: PoolingOptions & PoolingInput,
  { pooling, params, turns, source }: PoolInputsOptions,
): Promise<AsyncGenerator<PoolingOutput, void, undefined>> {
  const { signal, pool, engineRequestId } = pooling
  const prompts = await turns.run(() => poolingPrompts(body, source), { signal })
  const common = commonPoolingFields(body, pooling)
  const requests = prompts.map((prompt, index) => ({
    ...common,
    requestId: `${engineRequestId}-${index}`,
    prompt,
    params,
  }))
  return poolPrompts(requests, { turns, signal, pool })
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
