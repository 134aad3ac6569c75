import { describe, expect, it } from 'vitest'
import { InvalidRequestError } from '../errors.ts'
import { Scheduler } from '../scheduler/scheduler.ts'
import type { ModelRunnerOutput, SchedulerOutput } from '../scheduler/scheduler-output.ts'
import { testRequest, tokenRange } from '../sequence/sequence-request.case.ts'
import type { SequenceRequest } from '../sequence/sequence.ts'
import type { GrammarSpec } from '../structured-output/grammar-spec.ts'
import { EngineCore } from './engine-core.ts'
import { EngineLoop } from './engine-loop.ts'
import type { Executor } from './executor.ts'
import { Heartbeat } from './heartbeat.ts'

/** Grammars are ready when the test says so. */
class SlowCompiler implements Executor {
  readonly maxPlansInFlight = 1
  readonly specs: GrammarSpec[] = []
  readonly scheduledIds = new Set<string>()
  readonly #compilations: PromiseWithResolvers<void>[] = []

  initialize(): never {
    throw new Error('not in this test')
  }

  compileGrammar(spec: GrammarSpec): Promise<void> {
    this.specs.push(spec)
    const compilation = Promise.withResolvers<void>()
    this.#compilations.push(compilation)
    return compilation.promise
  }

  async executeModel({ scheduled }: SchedulerOutput): Promise<ModelRunnerOutput> {
    for (const { id } of scheduled) this.scheduledIds.add(id)
    const sampled = scheduled.map(({ id }) => ({ id, tokenIds: [2], logprobs: null }))
    return { sampled, promptLogprobs: [], failed: [] }
  }

  end(index: number, error?: Error): void {
    if (error === undefined) this.#compilations[index]!.resolve()
    else this.#compilations[index]!.reject(error)
  }

  async shutdown(): Promise<void> {
    for (const { reject } of this.#compilations) reject(new Error('closed'))
  }
}

const config = { numBlocks: 100, maxModelLen: 400, maxNumBatchedTokens: 64, maxNumSeqs: 4, enablePrefixCaching: false }

function setup() {
  const executor = new SlowCompiler()
  const config = {
    numBlocks: 100,
    maxModelLen: 400,
    maxNumBatchedTokens: 64,
    maxNumSeqs: 4,
    enablePrefixCaching: false,
  }
  const core = new EngineCore(new Scheduler(config), executor)
  const ended: string[] = []
  const rejected: [string, unknown][] = []
  const loop = new EngineLoop(core, new Heartbeat(), {
    onUpdates: (updates) => ended.push(...updates.map(({ id }) => id)),
    onRejected: (ids, error) => rejected.push([ids.join(), error]),
    onFailed: (error) => rejected.push(['all', error]),
  })
  return { executor, core, loop, ended, rejected }
}

const constrained = (id: string, more: Partial<SequenceRequest> = {}): SequenceRequest =>
  testRequest(id, { eosTokenIds: [7, 2], ...more, params: { grammar: '{}', stopTokenIds: [2, 5] } })

const turns = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20))

describe('a sequence with a grammar', () => {
  it('waits for it while others run', async () => {
    const { executor, core, loop, ended } = setup()
    loop.add([constrained('a'), constrained('a2', { forkOf: 'a' }), testRequest('b')])
    await turns()
    expect(executor.specs).toEqual([1, 2].map(() => ({ grammar: '{}', stopTokenIds: [2, 5, 7] })))
    expect(ended).toEqual(['b'])
    expect(core.metrics().numWaitingSeqs).toBe(2)
    executor.end(0)
    executor.end(1)
    await turns()
    expect(ended).toEqual(['b', 'a', 'a2'])
    expect(core.metrics().numWaitingSeqs).toBe(0)
    await loop.shutdown()
  })

  it('is rejected alone, with the reason', async () => {
    const { executor, loop, ended, rejected } = setup()
    loop.add([constrained('a'), constrained('b')])
    const error = new InvalidRequestError('no', 'structuredOutput')
    executor.end(0, error)
    executor.end(1)
    await turns()
    expect(rejected).toEqual([['a', error]])
    expect(ended).toEqual(['b'])
    await loop.shutdown()
  })

  it('is as any other once its grammar is there: too long a prompt', async () => {
    const { executor, loop, rejected } = setup()
    loop.add([constrained('a', { promptTokenIds: tokenRange(0, 400) })])
    executor.end(0)
    await turns()
    expect(rejected).toMatchObject([['a', { name: 'ContextLengthError' }]])
    await loop.shutdown()
  })

  it('can be aborted, and the engine shut down, while it waits', async () => {
    const { executor, core, loop, ended, rejected } = setup()
    loop.add([constrained('a'), constrained('b'), constrained('c')])
    loop.abort(['a', 'b'])
    expect(core.metrics().numWaitingSeqs).toBe(1)
    executor.end(0)
    executor.end(1, new Error('too late'))
    await turns()
    await loop.shutdown()
    await turns()
    expect([ended, rejected, [...executor.scheduledIds]]).toEqual([[], [], []])
  })

  it('needs an executor that knows grammars', () => {
    const { compileGrammar: _, ...executor } = { ...methodsOf(new SlowCompiler()) }
    const core = new EngineCore(new Scheduler(config), executor)
    expect(() => core.addSequence(constrained('a'))).toThrow(/structuredOutput needs an executor/)
  })
})

function methodsOf(executor: SlowCompiler): Required<Pick<Executor, 'compileGrammar'>> & Executor {
  return {
    maxPlansInFlight: 1,
    initialize: () => executor.initialize(),
    compileGrammar: (spec) => executor.compileGrammar(spec),
    executeModel: (plan) => executor.executeModel(plan),
    shutdown: () => executor.shutdown(),
  }
}
