import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { resolveEngineConfig } from '../config/engine-config.ts'
import type { EngineModule } from '../config/engine-module.ts'
import { CheckpointError, EngineDeadError, InvalidConfigError, InvalidRequestError } from '../errors.ts'
import { resolveSamplingParams } from '../sampling-params.ts'
import type { SequenceRequest } from '../sequence/sequence.ts'
import type { EngineCoreEvents } from './engine-core-client.ts'
import { ThreadCoreClient } from './thread-core-client.ts'

const modelPath = fileURLToPath(new URL('../../models/octavo-tiny', import.meta.url))
const config = resolveEngineConfig({ model: modelPath })
const events: EngineCoreEvents = {
  onProgress() {},
  onLog() {},
  onUpdates() {},
  onRejected() {},
  onLost() {},
  onDead() {},
}

const request = (id: string, promptTokenIds: number[], maxTokens = 4): SequenceRequest => ({
  id,
  promptTokenIds,
  params: resolveSamplingParams({ maxTokens, temperature: 0, ignoreEos: true }, { vocabSize: 1e9, maxLogprobs: 20 }),
  eosTokenIds: [],
  priority: 0,
  arrivalTime: 0,
  cacheSalt: null,
  forkOf: null,
})

/** An executor that loads at once; `execute` is the body of its executeModel(plan). */
function executorModule(execute: string, { initialize = '' } = {}): EngineModule {
  const source = `export const createExecutor = () => ({
    maxPlansInFlight: 1,
    async initialize() {
      ${initialize}
      return { numBlocks: 100, blockSize: 16, maxModelLen: 512, backend: 'fake', isBatchInvariant: true, weightBytes: 0,
        kvCacheBytes: 0, kvCacheDtype: 'float32', warmup: null, ranks: [] }
    },
    async executeModel(plan) { ${execute} },
    async shutdown() {},
  })`
  return { kind: 'executor', name: 'fake', url: `data:text/javascript,${encodeURIComponent(source)}` }
}

const clients: ThreadCoreClient[] = []
function clientOf(
  modules: readonly EngineModule[] = [],
  device: Partial<(typeof config)['device']> = {},
): ThreadCoreClient {
  const client = new ThreadCoreClient({
    config: { ...config, device: { ...config.device, ...device } },
    modelPath,
    modules,
  })
  clients.push(client)
  return client
}
afterEach(() => Promise.all(clients.splice(0).map((client) => client.shutdown({ timeoutMs: 0 }))))

describe('ThreadCoreClient', () => {
  it('computes, rejects what it cannot take for that sequence only, and says with what a step failed', async () => {
    const finished = Promise.withResolvers<number[]>()
    const rejected = Promise.withResolvers<[readonly string[], Error]>()
    const dead = Promise.withResolvers<EngineDeadError>()
    const tokenIds: number[] = []
    const client = clientOf()
    const info = await client.start({
      ...events,
      onUpdates(updates) {
        tokenIds.push(...updates.flatMap((update) => update.newTokenIds))
        if (updates.some((update) => update.finishReason !== null)) finished.resolve(tokenIds)
      },
      onRejected: (ids, error) => rejected.resolve([ids, error]),
      onDead: dead.resolve,
    })
    expect(info).toMatchObject({ maxModelLen: 1024, blockSize: 16 })
    client.add([request('good', [100, 101, 102]), request('good', [1])])
    const [ids, reason] = await rejected.promise
    expect(ids).toEqual(['good'])
    expect(reason).toBeInstanceOf(InvalidRequestError)
    expect(await finished.promise).toHaveLength(4)
    await client.checkHealth()
    expect(client.metrics()).toMatchObject({ numRunningSeqs: 0 })
  })

  it('gives back what loading threw, with its class', async () => {
    const client = new ThreadCoreClient({ config, modelPath: `${modelPath}/no-such-file`, modules: [] })
    await expect(client.start(events)).rejects.toThrow(CheckpointError)
    await client.shutdown()
  })

  it('may be shut down twice, and refuses sequences afterwards', async () => {
    const client = clientOf([executorModule('')])
    await client.start(events)
    await Promise.all([client.shutdown(), client.shutdown()])
    expect(() => client.add([request('late', [1])])).toThrow(EngineDeadError)
    await expect(client.checkHealth()).rejects.toThrow(/shut down/)
  })

  it('may be shut down while it loads, and then reports nothing', async () => {
    const onDead = vi.fn()
    const client = clientOf()
    const started = client.start({ ...events, onDead })
    await client.shutdown()
    await expect(started).rejects.toThrow(/shut down/)
    expect(onDead).not.toHaveBeenCalled()
  })
})

describe('an executor from a module', () => {
  it('runs the plans', async () => {
    const finished = Promise.withResolvers<readonly number[]>()
    const executor = executorModule(`return {
      sampled: plan.scheduled.map(({ id }) => ({ id, tokenId: 7, tokenIds: [7], logprobs: null })), promptLogprobs: [], failed: [],
    }`)
    const client = clientOf([executor])
    expect(
      await client.start({
        ...events,
        onUpdates: ([update]) => update?.finishReason && finished.resolve(update.newTokenIds),
      }),
    ).toMatchObject({ backend: 'fake', numBlocks: 100 })
    client.add([request('a', [1, 2, 3])])
    expect(await finished.promise).toEqual([7])
  })

  it.each([
    [
      'exports no createExecutor',
      'data:text/javascript,export const x = 1',
      /executor module "mine".*exports no createExecutor/,
    ],
    ['is not there', 'file:///nowhere.js', /"mine".*could not be loaded/],
  ])('that %s is an error that names it', async (_, url, message) => {
    const error = await clientOf([{ kind: 'executor', name: 'mine', url }])
      .start(events)
      .catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(InvalidConfigError)
    expect(String(error)).toMatch(message)
  })

  it('that fails ends the engine, whose error has the cause', async () => {
    const dead = Promise.withResolvers<EngineDeadError>()
    const client = clientOf([executorModule('throw new TypeError("out of order")')])
    await client.start({ ...events, onDead: dead.resolve })
    client.add([request('a', [1, 2, 3])])
    const error = await dead.promise
    expect(error).toBeInstanceOf(EngineDeadError)
    expect(error.message).toMatch(/The engine stopped: out of order\..*start the engine again/)
    expect(error.cause).toBeInstanceOf(Error)
    await expect(client.checkHealth()).rejects.toBe(error)
    expect(() => client.add([request('b', [1])])).toThrow(error)
  })
})

describe('an engine thread that hangs', () => {
  it.each([
    ['in a loop', 'for (;;);'],
    ['on a promise', 'await new Promise(() => setInterval(() => {}, 1000))'],
  ])('%s: health is bad, and a shutdown is bounded', async (_, body) => {
    const client = clientOf([executorModule(body)], { stepTimeoutMs: 100 })
    await client.start(events)
    await client.checkHealth()
    client.add([request('a', [1, 2, 3])])
    await vi.waitFor(() => expect(client.checkHealth()).rejects.toThrow(/does not go on.*stepTimeoutMs is 100/), 5000)
    const startedAt = performance.now()
    await client.shutdown({ timeoutMs: 50 })
    expect(performance.now() - startedAt).toBeLessThan(2000)
  })

  it.skipIf(process.platform === 'win32')(
    'in a native call, while loading: shutdown and process end all the same',
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'octavo-fifo-'))
      try {
        const fifo = join(folder, 'fifo')
        execFileSync('mkfifo', [fifo])
        const started = join(folder, 'started')
        const initialize = `const fs = await import('node:fs'); fs.writeFileSync(${JSON.stringify(started)}, ''); fs.readFileSync(${JSON.stringify(fifo)})`
        const data = { config, modelPath, modules: [executorModule('', { initialize })] }
        const program = `
        const { ThreadCoreClient } = await import(${JSON.stringify(new URL('./thread-core-client.ts', import.meta.url).href)})
        const client = new ThreadCoreClient(${JSON.stringify(data)})
        client.start({ onProgress() {} }).catch(() => {})
        while (!(await import('node:fs')).existsSync(${JSON.stringify(started)})) await new Promise((resolve) => setTimeout(resolve, 20))
        await client.shutdown()
        console.log('shut down')
        process.exit(0)`
        const file = join(folder, 'program.mjs')
        writeFileSync(file, program)
        const child = spawn(process.execPath, ['--experimental-strip-types', file])
        let output = ''
        child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
        const signal = await new Promise((resolve) => child.on('exit', (_, ended) => resolve(ended)))
        expect(output).toBe('shut down\n')
        expect(signal).toBe('SIGKILL')
      } finally {
        rmSync(folder, { recursive: true })
      }
    },
  )
})
