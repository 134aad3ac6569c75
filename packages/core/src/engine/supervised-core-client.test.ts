import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { CheckpointError, EngineDeadError } from '../errors.ts'
import { silentLogger } from '../util/logger.ts'
import { type EngineCoreClient, type EngineCoreEvents, noMetrics } from './engine-core-client.ts'
import type { SchedulerStats } from '../scheduler/scheduler-stats.ts'
import type { EngineInfo } from './engine-info.ts'
import { SupervisedCoreClient } from './supervised-core-client.ts'

const info: EngineInfo = {
  backend: 'fake',
  isBatchInvariant: true,
  weightBytes: 0,
  kvCacheDtype: 'float32',
  kvCacheBytes: 0,
  numBlocks: 8,
  blockSize: 16,
  maxModelLen: 64,
  warmup: null,
  ranks: [],
}

class FakeCore implements EngineCoreClient {
  readonly info = info
  failure: EngineDeadError | null = null
  events: EngineCoreEvents | null = null
  readonly calls: string[] = []
  readonly #startError: Error | null

  constructor(startError: Error | null) {
    this.#startError = startError
  }

  async start(events: EngineCoreEvents): Promise<EngineInfo> {
    this.events = events
    if (this.#startError !== null) throw this.#startError
    return info
  }

  add(): void {
    this.calls.push('add')
  }

  abort(): void {
    this.calls.push('abort')
  }

  command = async () => {}
  readonly counted: SchedulerStats = {
    ...noMetrics(info),
    numRunningSeqs: 1,
    kvCacheUsage: 0.5,
    numSteps: 3,
    promptTokens: 7,
  }
  metrics = () => this.counted
  checkHealth = async () => {}

  async shutdown(): Promise<void> {
    this.calls.push('shutdown')
  }

  die(cause: Error): void {
    this.failure = new EngineDeadError(`The engine stopped: ${cause.message}.`, { cause })
    this.events?.onDead(this.failure)
  }
}

/** A supervisor over cores of which those with an entry in `startErrors` fail to start. */
function supervise(startErrors: Readonly<Record<number, Error>> = {}) {
  const cores: FakeCore[] = []
  const seen = { lost: [] as EngineDeadError[], dead: [] as EngineDeadError[] }
  const client = new SupervisedCoreClient({
    policy: { initialDelayMs: 100, maxDelayMs: 400, maxAttempts: 3, healthyAfterMs: 60_000 },
    logger: silentLogger,
    create() {
      const core = new FakeCore(startErrors[cores.length] ?? null)
      cores.push(core)
      return core
    },
  })
  const started = client.start({
    onProgress() {},
    onLog() {},
    onUpdates() {},
    onRejected() {},
    onLost: (error) => void seen.lost.push(error),
    onDead: (error) => void seen.dead.push(error),
  })
  return { client, cores, seen, started }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

describe('SupervisedCoreClient', () => {
  it('starts a core again that died; meanwhile requests and health get a typed error with the cause', async () => {
    const { client, cores, seen, started } = supervise()
    expect(await started).toBe(info)
    client.add([])
    const cause = new TypeError('out of order')
    cores[0]?.die(cause)
    expect(seen.lost).toHaveLength(1)
    expect(seen.lost[0]).toMatchObject({ code: 'engine_dead', cause })
    expect(seen.lost[0]?.message).toMatch(/out of order\..*started again \(in 0\.1 s, attempt 1 of 3\)/)
    expect(() => client.add([])).toThrow(seen.lost[0])
    await expect(client.checkHealth()).rejects.toBe(seen.lost[0])
    await vi.advanceTimersByTimeAsync(100)
    await client.checkHealth()
    expect(client.failure).toBeNull()
    client.add([])
    expect(cores.map(({ calls }) => calls)).toEqual([['add', 'shutdown'], ['add']])
    expect(seen.dead).toEqual([])
  })

  it('waits longer each time, and then stays dead with the last cause', async () => {
    const cause = new CheckpointError('w.safetensors', 'is truncated')
    const { client, cores, seen, started } = supervise({ 1: new Error('busy'), 2: new Error('busy'), 3: cause })
    await started
    cores[0]?.die(new Error('first'))
    const counts: number[] = []
    for (const ms of [99, 1, 199, 1, 399, 1]) {
      await vi.advanceTimersByTimeAsync(ms)
      counts.push(cores.length)
    }
    expect(counts).toEqual([1, 2, 2, 3, 3, 4])
    expect(seen.lost).toHaveLength(3)
    expect(seen.dead).toHaveLength(1)
    expect(seen.dead[0]).toMatchObject({ code: 'engine_dead', cause })
    expect(seen.dead[0]?.message).toMatch(/is truncated.*started again 3 times in vain/)
    await expect(client.checkHealth()).rejects.toBe(seen.dead[0])
    await vi.advanceTimersByTimeAsync(1e6)
    expect(cores).toHaveLength(4)
  })

  it('begins anew after a core that served long enough', async () => {
    const { cores, seen, started } = supervise()
    await started
    for (let i = 0; i < 10; i++) {
      await vi.advanceTimersByTimeAsync(60_000)
      cores[i]?.die(new Error('once a minute'))
      await vi.advanceTimersByTimeAsync(100)
    }
    expect(cores).toHaveLength(11)
    expect(seen.dead).toEqual([])
  })

  it('goes on counting, while nothing serves too, and at the end', async () => {
    const { client, cores, started } = supervise({ 1: new Error('busy') })
    await started
    const seen = () => {
      const { numRunningSeqs, kvCacheUsage, numSteps, promptTokens } = client.metrics()
      return [numRunningSeqs, kvCacheUsage, numSteps, promptTokens]
    }
    expect(seen()).toEqual([1, 0.5, 3, 7])
    cores[0]?.die(new Error('x'))
    expect(seen()).toEqual([0, 0, 3, 7])
    await vi.advanceTimersByTimeAsync(100)
    expect([cores.length, ...seen()]).toEqual([2, 0, 0, 3, 7])
    await vi.advanceTimersByTimeAsync(200)
    expect([cores.length, ...seen()]).toEqual([3, 1, 0.5, 6, 14])
    await client.shutdown()
    expect(seen()).toEqual([0, 0, 6, 14])
  })

  it('does not start again what was shut down, and gives back what the first start threw', async () => {
    const { client, cores, started } = supervise()
    await started
    cores[0]?.die(new Error('x'))
    await client.shutdown()
    await vi.advanceTimersByTimeAsync(1e6)
    expect(cores).toHaveLength(1)
    const cause = new CheckpointError('w', 'is truncated')
    await expect(supervise({ 0: cause }).started).rejects.toBe(cause)
  })
})
