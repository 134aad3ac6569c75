import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EngineDeadError, EngineSleepingError, InvalidRequestError } from '../errors.ts'
import type { RequestOutput } from '../sequence/outputs.ts'
import { AsyncEngine } from './async-engine.ts'
import type { EngineHooks } from './engine-hooks.ts'
import type { GenerateRequest, SleepOptions } from './engine-client.ts'
import { InlineCoreClient } from './inline-core-client.ts'
import { executorWithoutRelease } from './sleep-executor.case.ts'
import { Sleeper } from './sleeper.ts'

const question = 'What is the capital of Norway?'
let numRequests = 0

function requestOf(rest: Partial<GenerateRequest> = {}): GenerateRequest {
  return {
    requestId: `r${numRequests++}`,
    prompt: { type: 'chat', messages: [{ role: 'user', content: question }] },
    params: { temperature: 0 },
    outputKind: 'final',
    ...rest,
  }
}

/** One that goes on until it is ended. */
function longRequest(rest: Partial<GenerateRequest> = {}): GenerateRequest {
  return requestOf({ params: { temperature: 0, ignoreEos: true, maxTokens: 100 }, ...rest })
}

async function answerOf(engine: AsyncEngine, request = requestOf(), signal?: AbortSignal): Promise<RequestOutput> {
  let last: RequestOutput | null = null
  for await (const output of engine.generate(request, signal)) last = output
  return last!
}

const open = (hooks: EngineHooks = {}) => AsyncEngine.create({ model: 'octavo-tiny', backend: 'cpu' }, hooks)

const places: [string, EngineHooks][] = [
  ['a thread', {}],
  ['a supervised thread', { restart: true }],
  ['this thread', { createCoreClient: (data) => new InlineCoreClient(data) }],
]

describe.each(places)('an engine in %s', (_, hooks) => {
  let engine: AsyncEngine
  let expected: string
  beforeAll(async () => {
    engine = await open(hooks)
    expected = (await answerOf(engine)).outputs[0]!.text
  })
  afterAll(() => engine.shutdown())

  it.each([0, 1, 2] as const)('sleeps at level %i, and answers as before once it is awake', async (level) => {
    await engine.sleep({ level, mode: 'abort' })
    expect(engine.isSleeping).toBe(true)
    await engine.checkHealth()
    expect(engine.metrics().numRunningSeqs).toBe(0)
    await expect(answerOf(engine)).rejects.toThrow(EngineSleepingError)
    await expect(engine.pool(poolingRequest())).rejects.toThrow(EngineSleepingError)
    await engine.resetPrefixCache()
    await engine.wakeUp()
    expect(engine.isSleeping).toBe(false)
    const answer = await answerOf(engine)
    expect(answer.outputs[0]!.text).toBe(expected)
    // What was computed before is gone with the memory.
    expect(answer.numCachedTokens).toBe(0)
    expect((await answerOf(engine)).numCachedTokens).toBeGreaterThan(0)
  })

  it('ends what runs, and says so', async () => {
    const running = answerOf(engine, longRequest())
    await started(engine)
    await engine.sleep({ level: 1, mode: 'abort' })
    expect((await running).outputs[0]!.finishReason).toBe('abort')
    await engine.wakeUp()
    expect((await answerOf(engine)).outputs[0]!.text).toBe(expected)
  })

  it('waits for what runs, and lets others wait', async () => {
    const running = answerOf(engine, longRequest())
    await started(engine)
    const asleep = engine.sleep({ level: 1, mode: 'wait' })
    const waiting = answerOf(engine)
    const left = answerOf(engine, requestOf(), AbortSignal.timeout(20))
    await expect(left).rejects.toThrow(/timeout/)
    await asleep
    expect((await running).outputs[0]!.finishReason).toBe('length')
    await engine.wakeUp()
    expect((await waiting).outputs[0]!.text).toBe(expected)
  })

  it('goes deeper, and refuses those that waited when it shall refuse all', async () => {
    await engine.sleep({ level: 0, mode: 'wait' })
    const waiting = answerOf(engine)
    waiting.catch(() => undefined)
    await engine.sleep({ level: 2, mode: 'abort' })
    await expect(waiting).rejects.toThrow(EngineSleepingError)
    await engine.sleep({ level: 1, mode: 'abort' })
    await engine.wakeUp()
    await engine.wakeUp()
    expect((await answerOf(engine)).outputs[0]!.text).toBe(expected)
  })

  it.each([0, 1, 2] as const)(
    'has those wait on who were to go on as it fell asleep again, at level %i',
    async (level) => {
      await engine.sleep({ level: 1, mode: 'wait' })
      const { signal } = new AbortController()
      const waiting = Promise.all([
        answerOf(engine),
        answerOf(engine, requestOf(), signal),
        engine.pool(poolingRequest()),
      ])
      waiting.catch(() => undefined)
      await Promise.all([engine.wakeUp(), engine.sleep({ level, mode: 'wait' })])
      const asleep = new Promise<string>((resolve) => setTimeout(resolve, 100, 'asleep'))
      expect(await Promise.race([waiting, asleep])).toBe('asleep')
      await engine.wakeUp()
      expect((await waiting)[1].outputs[0]!.text).toBe(expected)
    },
  )

  it('empties its prefix cache', async () => {
    await answerOf(engine)
    expect((await answerOf(engine)).numCachedTokens).toBeGreaterThan(0)
    await engine.resetPrefixCache()
    expect((await answerOf(engine)).numCachedTokens).toBe(0)
  })
})

describe('sleep', () => {
  it('refuses what it does not know', async () => {
    await using engine = await open()
    for (const options of [
      { level: 3, mode: 'wait' },
      { level: 1, mode: 'keep' },
    ] as unknown as SleepOptions[])
      await expect(async () => engine.sleep(options)).rejects.toThrow(InvalidRequestError)
    expect(engine.isSleeping).toBe(false)
  })

  it('serves on where an executor keeps its KV cache', async () => {
    await using engine = await open({ modules: [executorWithoutRelease] })
    await expect(engine.sleep({ level: 1, mode: 'abort' })).rejects.toThrow(/level 1 needs an executor/)
    expect(engine.isSleeping).toBe(false)
    expect((await answerOf(engine, requestOf({ params: { maxTokens: 2 } }))).finished).toBe(true)
  })

  it('takes nothing that comes late, when nothing is there to run it', async () => {
    const idle = Promise.withResolvers<void>()
    const core = { command: async () => {}, end: async () => {}, renew: async () => {} }
    const sleeper = new Sleeper({ core, abortAll: () => {}, whenIdle: () => idle.promise })
    const first = sleeper.sleep({ level: 2, mode: 'wait' })
    await Promise.resolve()
    // It had come before, and is waited for.
    sleeper.checkOpen()
    idle.resolve()
    await first
    expect(() => sleeper.checkOpen()).toThrow(EngineSleepingError)
    await sleeper.wakeUp()
    sleeper.checkOpen()
  })

  it('lets nobody wait for an engine that is shut down', async () => {
    const engine = await open()
    await engine.sleep({ level: 2, mode: 'wait' })
    const waiting = answerOf(engine)
    waiting.catch(() => undefined)
    await engine.shutdown()
    await expect(waiting).rejects.toThrow(EngineDeadError)
    await expect(engine.checkHealth()).rejects.toThrow(EngineDeadError)
    await expect(engine.wakeUp()).rejects.toThrow(EngineDeadError)
    await expect(engine.sleep({ level: 0, mode: 'wait' })).rejects.toThrow(EngineDeadError)
  })

  it('lets nobody wait for an engine that died while it slept', async () => {
    let die: (error: EngineDeadError) => void = () => {}
    const createCoreClient: EngineHooks['createCoreClient'] = (data) => {
      const core = new InlineCoreClient(data)
      const start = core.start.bind(core)
      core.start = (events) => {
        die = (error) => events.onDead(error)
        return start(events)
      }
      return core
    }
    await using engine = await open({ createCoreClient })
    await engine.sleep({ level: 0, mode: 'wait' })
    const waiting = answerOf(engine)
    waiting.catch(() => undefined)
    die(new EngineDeadError('out of luck'))
    await expect(waiting).rejects.toThrow('out of luck')
    await expect(engine.wakeUp()).rejects.toThrow('out of luck')
  })
})

describe('tokenize and render', () => {
  let engine: AsyncEngine
  beforeAll(async () => {
    engine = await open()
  })
  afterAll(() => engine.shutdown())

  it('give the ids that a request would have', async () => {
    const request = requestOf()
    const { prompt, tokenIds, tokens } = await engine.tokenize({ prompt: request.prompt, returnTokens: true })
    const rendered = await engine.render({ ...request, params: { temperature: 0, maxTokens: null } })
    const answer = await answerOf(engine, request)
    expect(prompt).toContain(question)
    expect(tokenIds).toEqual(answer.promptTokenIds)
    expect(tokens).toHaveLength(tokenIds.length)
    expect(rendered).toMatchObject({ requestId: request.requestId, prompt, tokenIds })
    expect(rendered.params).toMatchObject({ temperature: 0, seed: null, maxTokens: 1024 - tokenIds.length })
    expect(engine.detokenize(tokenIds)).toBe(prompt)
    expect(() => engine.detokenize([1, 999_999])).toThrow(/no token 999999.*2559/)
    // With characters that are cut between two parts.
    const ids = Array.from({ length: 5000 }, (_, i) => 3 + ((i * 7919) % 2000))
    expect(await engine.detokenizeInTurns(ids)).toBe(engine.detokenize(ids))
  })

  it('count what is beyond the context, but not without end', async () => {
    const text = 'one two three '.repeat(1000)
    expect((await engine.tokenize({ prompt: { type: 'text', text } })).tokenIds.length).toBeGreaterThan(1024)
    await expect(engine.render(requestOf({ prompt: { type: 'text', text } }))).rejects.toThrow(/context/)
    const endless = 'x'.repeat(2 ** 21)
    await expect(engine.tokenize({ prompt: { type: 'text', text: endless } })).rejects.toThrow(/in parts/)
  })

  it('draw no seed that another request would get', async () => {
    const options = { model: 'octavo-tiny', backend: 'cpu', seed: 7 } as const
    const drawn = async (renders: boolean): Promise<string> => {
      await using seeded = await AsyncEngine.create(options)
      if (renders) await seeded.render(requestOf())
      const params = { temperature: 1.5, maxTokens: 24 }
      return (await answerOf(seeded, requestOf({ params }))).outputs[0]!.text
    }
    expect(await drawn(true)).toBe(await drawn(false))
  })

  it('tells how the tokenizer is configured, without paths', async () => {
    const config = await engine.tokenizerConfig()
    expect(config).toMatchObject({ chat_template: expect.any(String) })
    expect(JSON.stringify(config)).not.toContain('octavo-tiny')
  })
})

function poolingRequest() {
  return { requestId: `r${numRequests++}`, prompt: { type: 'text', text: 'a' }, params: { task: 'embed' } } as const
}

async function started(engine: AsyncEngine): Promise<void> {
  await expect.poll(() => engine.metrics().numRunningSeqs, { interval: 1, timeout: 5000 }).toBeGreaterThan(0)
}
