import { fileURLToPath } from 'node:url'
import { describe, expect, it, vi } from 'vitest'
import { resolveEngineConfig } from '../config/engine-config.ts'
import { CheckpointError, type EngineDeadError, ModelNotFoundError } from '../errors.ts'
import { resolveSamplingParams } from '../sampling-params.ts'
import type { SequenceRequest } from '../sequence/sequence.ts'
import { EngineWorker, type EngineWorkerEvents } from './engine-worker.ts'

const modelPath = fileURLToPath(new URL('../../models/octavo-tiny', import.meta.url))
const config = resolveEngineConfig({ model: modelPath })
const noEvents: EngineWorkerEvents = { onProgress: () => {}, onUpdates: () => {}, onDead: () => {} }

const request = (id: string, promptTokenIds: number[]): SequenceRequest => ({
  id,
  promptTokenIds,
  params: resolveSamplingParams({ maxTokens: 4, temperature: 0, ignoreEos: true }, { vocabSize: 1e9, maxLogprobs: 20 }),
  eosTokenIds: [],
  priority: 0,
  arrivalTime: 0,
  cacheSalt: null,
  forkOf: null,
})

describe('EngineWorker', () => {
  it('computes, and says when a step failed', async () => {
    const finished = Promise.withResolvers<number[]>()
    const dead = Promise.withResolvers<EngineDeadError>()
    const tokenIds: number[] = []
    const worker = EngineWorker.start(
      { config, modelPath, backends: [] },
      {
        ...noEvents,
        onUpdates({ updates }) {
          tokenIds.push(...updates.flatMap((update) => update.newTokenIds))
          if (updates.some((update) => update.finishReason !== null)) finished.resolve(tokenIds)
        },
        onDead: dead.resolve,
      },
    )
    expect(await worker.ready).toMatchObject({ maxModelLen: 1024, blockSize: 16 })
    worker.send({ type: 'add', requests: [request('good', [100, 101, 102])] })
    expect(await finished.promise).toHaveLength(4)

    // The front refuses such a token id; past it, the step must fail loudly, not read foreign memory.
    worker.send({ type: 'add', requests: [request('bad', [99_999_999])] })
    const error = await dead.promise
    expect(error).toMatchObject({ name: 'EngineDeadError', code: 'engine_dead' })
    expect(error.message).toMatch(/The engine stopped: .*start the engine again/)
    await worker.close()
  })

  it('gives back what loading threw, with its class', async () => {
    const start = (path: string) => EngineWorker.start({ config, modelPath: path, backends: [] }, noEvents).ready
    await expect(start(`${modelPath}/no-such-file`)).rejects.toThrow(CheckpointError)
    await expect(start(`${modelPath}/no-such-file`)).rejects.not.toThrow(ModelNotFoundError)
  })

  it('may be closed twice', async () => {
    const worker = EngineWorker.start({ config, modelPath, backends: [] }, noEvents)
    await worker.ready
    await Promise.all([worker.close(), worker.close()])
  })

  it('may be terminated while it loads, and then reports nothing', async () => {
    const onDead = vi.fn()
    const worker = EngineWorker.start({ config, modelPath, backends: [] }, { ...noEvents, onDead })
    await worker.terminate()
    expect(onDead).not.toHaveBeenCalled()
  })
})
