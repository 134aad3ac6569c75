import { fileURLToPath } from 'node:url'
import { describe, expect, it, vi } from 'vitest'
import { resolveEngineConfig } from '../config/engine-config.ts'
import { CheckpointError, type EngineDeadError, ModelNotFoundError } from '../errors.ts'
import { resolveSamplingParams } from '../sampling-params.ts'
import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
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
  it('computes, fails single requests, and says when a step failed', async () => {
    const updatesOf = new Map<string, SequenceUpdate[]>()
    const ended = (id: string): Promise<SequenceUpdate | undefined> =>
      vi.waitFor(() => {
        const last = updatesOf.get(id)?.at(-1)
        expect(last?.finishReason ?? null).not.toBeNull()
        return last
      })
    const dead = Promise.withResolvers<EngineDeadError>()
    const worker = EngineWorker.start(
      { config, modelPath, backends: [] },
      {
        ...noEvents,
        onUpdates({ updates }) {
          for (const update of updates) updatesOf.set(update.id, [...(updatesOf.get(update.id) ?? []), update])
        },
        onDead: dead.resolve,
      },
    )
    expect(await worker.ready).toMatchObject({ maxModelLen: 1024, blockSize: 16 })
    worker.send({ type: 'add', requests: [request('good', [100, 101, 102])] })
    await ended('good')
    expect(updatesOf.get('good')?.flatMap(({ newTokenIds }) => newTokenIds)).toHaveLength(4)

    // Such a token id must fail its request, not read foreign memory, and others go on.
    worker.send({ type: 'add', requests: [request('bad', [100, 99_999_999]), request('good again', [100, 101, 102])] })
    const ends = await Promise.all([ended('bad'), ended('good again')])
    expect(ends).toMatchObject([
      { newTokenIds: [], finishReason: 'error', error: { name: 'InvalidRequestError' } },
      { finishReason: 'length', error: null },
    ])
    expect(ends[0]?.error?.message).toMatch(/token 99999999 at position 1/)

    worker.send({ type: 'add', requests: [{ ...request('no params', [1]), params: null as never }] })
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
