import { describe, expect, it, vi } from 'vitest'
import type { EngineModule } from '../config/engine-module.ts'
import { EngineDeadError, InvalidConfigError, InvalidRequestError } from '../errors.ts'
import type { RequestOutput } from '../sequence/outputs.ts'
import { silentLogger } from '../util/logger.ts'
import { AsyncEngine } from './async-engine.ts'
import type { EngineHooks } from './engine-hooks.ts'
import type { GenerateRequest } from './engine-client.ts'
import { InlineCoreClient } from './inline-core-client.ts'

/**
 * An executor that samples token 300 for every sequence, but: a prompt of token 13 cannot be sampled, one of token 14
 * ends the engine.
 */
const source = `export const createExecutor = () => ({
  maxPlansInFlight: 1,
  initialize: async () => ({
    numBlocks: 100, blockSize: 16, maxModelLen: 512, backend: 'fake', isBatchInvariant: true, weightBytes: 0,
    kvCacheBytes: 0, kvCacheDtype: 'float32', warmup: null, ranks: [],
  }),
  doomed: new Set(),
  async executeModel(plan) {
    for (const { id, tokenIds } of plan.newSequences) {
      if (tokenIds.includes(13)) this.doomed.add(id)
      if (tokenIds.includes(14)) throw new TypeError('out of order')
    }
    const [failed, sampled] = [plan.scheduled.filter(({ id }) => this.doomed.has(id)), plan.scheduled.filter(({ id }) => !this.doomed.has(id))]
    const error = { name: 'InvalidRequestError', message: 'nothing is left to draw', stack: null, fields: { code: 'invalid_request', param: 'logitBias' } }
    return {
      sampled: sampled.map(({ id }) => ({ id, tokenIds: [300], logprobs: null })),
      failed: failed.map(({ id }) => ({ id, error })),
      promptLogprobs: [],
    }
  },
  shutdown: async () => {},
})`
const executor: EngineModule = {
  kind: 'executor',
  name: 'fake',
  url: `data:text/javascript,${encodeURIComponent(source)}`,
}

let numRequests = 0
const requestOf = (tokenIds: number[], rest: Partial<GenerateRequest> = {}): GenerateRequest => ({
  requestId: `r${numRequests++}`,
  prompt: { type: 'tokens', tokenIds },
  params: { maxTokens: 5, ignoreEos: true },
  ...rest,
})

async function last(stream: AsyncIterable<RequestOutput>): Promise<RequestOutput | null> {
  let output: RequestOutput | null = null
  for await (output of stream);
  return output
}

const open = (hooks: EngineHooks = {}) =>
  AsyncEngine.create({ model: 'octavo-tiny' }, { modules: [executor], ...hooks })

describe('AsyncEngine', () => {
  it('runs over a core in this thread as over one in its own', async () => {
    const createCoreClient = vi.fn((data) => new InlineCoreClient(data))
    await using engine = await AsyncEngine.create({ model: 'octavo-tiny' }, { createCoreClient })
    const output = await last(
      engine.generate({
        requestId: 'r',
        prompt: { type: 'chat', messages: [{ role: 'user', content: 'What is the capital of Norway?' }] },
        params: { temperature: 0 },
      }),
    )
    expect(output?.outputs[0]?.text).toBe('The capital of Norway is Oslo.')
    expect(engine.metrics()).toMatchObject({ numRunningSeqs: 0, generationTokens: output?.outputs[0]?.tokenIds.length })
    expect(engine.models).toMatchObject([
      { id: 'octavo-tiny', maxModelLen: 1024, hasChatTemplate: true, marksThinking: false },
    ])
    expect(createCoreClient).toHaveBeenCalledTimes(1)
  })

  it('refuses modules before it loads anything', async () => {
    await expect(open({ modules: [{ ...executor, url: './executor.js' }] })).rejects.toThrow(InvalidConfigError)
  })

  it('fails one request, with all its samples and a typed error, and goes on with the others', async () => {
    await using engine = await open()
    const good = last(engine.generate(requestOf([1, 2])))
    const bad = last(engine.generate(requestOf([1, 13], { params: { maxTokens: 5, n: 3, temperature: 1 } })))
    const error = await bad.catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(InvalidRequestError)
    expect(error).toMatchObject({ message: 'nothing is left to draw', param: 'logitBias' })
    expect((await good)?.outputs[0]?.tokenIds).toEqual([300, 300, 300, 300, 300])
    expect((await last(engine.generate(requestOf([2]))))?.finished).toBe(true)
    await engine.checkHealth()
    expect(engine.metrics()).toMatchObject({ numRunningSeqs: 0, numWaitingSeqs: 0, kvCacheUsage: 0 })
  })

  it('merges what a slow reader has not taken', async () => {
    await using engine = await open()
    const request = requestOf([1], { params: { maxTokens: 400, ignoreEos: true }, outputKind: 'delta' })
    const outputs: RequestOutput[] = []
    for await (const output of engine.generate(request)) {
      outputs.push(output)
      await vi.waitFor(() => expect(engine.metrics().numRunningSeqs).toBe(0), 10_000)
    }
    expect(outputs.length).toBeLessThanOrEqual(3)
    expect(outputs.flatMap((output) => output.outputs[0]?.tokenIds ?? [])).toHaveLength(400)
    expect(outputs.at(-1)).toMatchObject({ finished: true, outputs: [{ finishReason: 'length' }] })
  })

  it('that dies says with what: to its requests, the log, the hook and health', async () => {
    const [onDead, error] = [vi.fn(), vi.fn()]
    await using engine = await open({ onDead, logger: { ...silentLogger, error } })
    const held = last(engine.generate(requestOf([1], { params: { maxTokens: 500, ignoreEos: true } })))
    const reasons = await Promise.all(
      [held, last(engine.generate(requestOf([14])))].map((end) => end.catch((reason: unknown) => reason)),
    )
    for (const reason of reasons) {
      expect(reason).toBeInstanceOf(EngineDeadError)
      expect(reason).toMatchObject({ message: expect.stringMatching(/out of order.*start the engine again/) })
      expect(reason).toMatchObject({ cause: { name: 'TypeError' } })
    }
    expect(onDead).toHaveBeenCalledExactlyOnceWith(reasons[0])
    expect(error).toHaveBeenCalledExactlyOnceWith(expect.stringMatching(/out of order[^]*executeModel/))
    await expect(engine.checkHealth()).rejects.toBe(reasons[0])
    await expect(last(engine.generate(requestOf([1])))).rejects.toBe(reasons[0])
  })

  it('may be started again when it dies', async () => {
    const onDead = vi.fn()
    const restart = { initialDelayMs: 50, maxDelayMs: 50, maxAttempts: 2, healthyAfterMs: 60_000 }
    await using engine = await open({ restart, onDead })
    await expect(last(engine.generate(requestOf([14])))).rejects.toThrow(/lost; it is started again/)
    await expect(engine.checkHealth()).rejects.toThrow(EngineDeadError)
    await expect(last(engine.generate(requestOf([1])))).rejects.toThrow(EngineDeadError)
    await vi.waitFor(() => engine.checkHealth(), 10_000)
    expect((await last(engine.generate(requestOf([1]))))?.finished).toBe(true)
    expect(engine.info.maxModelLen).toBe(512)
    expect(onDead).not.toHaveBeenCalled()
  })
})
