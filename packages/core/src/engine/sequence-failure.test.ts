import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { resolveEngineConfig } from '../config/engine-config.ts'
import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import { testRequest } from '../sequence/sequence-request.case.ts'
import type { SequenceRequest } from '../sequence/sequence.ts'
import { createScheduler } from './create-scheduler.ts'
import { EngineCore } from './engine-core.ts'
import { InlineExecutor } from './inline-executor.ts'

const modelPath = fileURLToPath(new URL('../../../../fixtures/models/llama', import.meta.url))
const config = resolveEngineConfig({ model: modelPath, backend: 'cpu', maxModelLen: 96, kvCacheMemory: 16 * 1024 ** 2 })

async function run(requests: readonly SequenceRequest[]): Promise<Map<string, SequenceUpdate[]>> {
  const executor = new InlineExecutor({ config, modelPath })
  const core = new EngineCore(createScheduler(config, await executor.initialize()), executor)
  const updates = new Map(requests.map(({ id }) => [id, [] as SequenceUpdate[]]))
  for (const request of requests) core.addSequence(request)
  while (core.hasWork) {
    const { updates: more, failure } = await core.step()
    if (failure !== null) throw failure
    for (const update of more) updates.get(update.id)?.push(update)
  }
  expect(core.metrics()).toMatchObject({ kvCacheUsage: 0, numRunningSeqs: 0 })
  await core.shutdown()
  return updates
}

describe('a sequence that fails', () => {
  it('leaves those alone that share its blocks in the same step', async () => {
    const prefix = Array.from({ length: 40 }, (_, i) => (i * 37 + 11) % 500)
    const params = { temperature: 0, maxTokens: 8, ignoreEos: true }
    const bad = testRequest('bad', { promptTokenIds: [...prefix, 123_456, 7], params })
    const good = testRequest('good', { promptTokenIds: [...prefix, 3], params })
    const together = await run([bad, good])
    expect(together.get('bad')).toMatchObject([
      { finishReason: 'error', newTokenIds: [], error: { name: 'InvalidRequestError' } },
    ])
    expect(together.get('good')?.[0]?.numCachedTokens).toBe(32)
    const tokens = (updates: SequenceUpdate[] | undefined) => updates?.flatMap(({ newTokenIds }) => newTokenIds)
    const alone = await run([good])
    expect(tokens(together.get('good'))).toHaveLength(8)
    expect(tokens(together.get('good'))).toEqual(tokens(alone.get('good')))
  })
})
